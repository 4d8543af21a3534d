"""The bar below all bars: the same answer for every example, whatever stands in it."""

from rnnjax.bars.base import Asked, Bar, judged


def bar(asked: Asked) -> Bar | None:
    """The answer that is best without looking: the most frequent class or tag, or the mean."""
    found = asked.task.constant(asked.dataset.train, asked.examples, asked.dataset.spec)
    if found is not None:
        return judged(found.name, found.outputs, asked, likely=True, note=found.note)
    kept = asked.task.by_frequencies(asked.dataset.train, asked.examples, asked.dataset.spec)
    if kept is None:
        return None
    totals = {name: values.sum() for name, values in kept.items()}
    return Bar("frequencies", asked.task.finish(totals), asked.task.outcomes(kept, asked.dataset.spec))
