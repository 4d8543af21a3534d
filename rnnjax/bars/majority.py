"""The bar below all bars: the same answer for every example, whatever stands in it."""

from rnnjax.bars.base import Asked, Bar, judged


def bar(asked: Asked) -> Bar | None:
    """The answer that is best without looking: the most frequent class or tag, or the mean."""
    found = asked.task.constant(asked.dataset.train, asked.examples, asked.dataset.spec)
    return None if found is None else judged(found.name, found.outputs, asked, likely=True, note=found.note)
