"""What ``plan`` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from rnnjax.ahead.batches import Tried


def lines(said: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`rnnjax.ahead.report.plan` says, in lines."""
    machine, batch = said["machine"], said["batch_size"]
    chip = machine["chip"]
    yield (
        f"{said['experiment']} on {machine['name']}, {machine['devices']} x {chip['name']} "
        f"({chip['memory'] / 1e9:.4g} GB each): batches of {batch}, {said['batch_a_device']} a device"
    )
    for name, kind in said["implementations"].items():
        yield f"  {name or 'the recurrence'} runs {kind} there"
    for name, step in said["steps"].items():
        yield from _step(name, step)
    wrong = [name for name, step in said["steps"].items() if not step["fits"]]
    yield f"does not fit: {' and '.join(wrong)}" if wrong else "fits"


def tried(one: Tried) -> str:
    """A line on a batch size that was tried."""
    needs = "more than there is" if one.bytes is None else f"{size(one.bytes)} a device"
    return f"  {one.batch_size}: {needs}, {'fits' if one.fits else 'does not fit'}"


def _step(name: str, step: Mapping[str, Any]) -> Iterator[str]:
    length = f", sequences of {step['length']}" if step["length"] else ""
    batches = "1 batch" if step["batches_a_call"] == 1 else f"{step['batches_a_call']} batches"
    yield f"{name} ({batches} a call{length}; compiled in {step['compile_seconds']:.0f} s)"
    kept = step["memory"]
    if "together" not in kept:
        needed = f"{size(kept['needed'])} are" if kept["needed"] else "more is"
        yield f"  memory a device   {needed} needed, {size(kept['available'])} are there: does not fit"
        return
    fits = "fits" if step["fits"] else "does not fit"
    yield f"  memory a device   {size(kept['together'])}, {kept['share']:.1%} of the chip's: {fits}"
    parts = ("arguments", "outputs", "temporaries", "program")
    yield f"                    {', '.join(f'{part} {size(kept[part])}' for part in parts)}"
    inside = step["operations_in_loops"] / step["operations"] if step["operations"] else 0
    yield f"  products a step   {count(step['operations'])}FLOP a device, {inside:.0%} of it in loops"
    if step["uncounted"]:
        yield f"                    and more, which cannot be counted: {', '.join(step['uncounted'])}"
    yield f"  memory traffic    {size(step['bytes_moved'])} at least: {step['intensity']:.3g} FLOP a byte"
    lowest = step["floors"]
    yield (
        f"  floors a step     arithmetic {time(lowest['arithmetic'])}, memory {time(lowest['memory'])}: no step is "
        f"faster than its {lowest['holds']} allows (by public peak rates, nothing kept in caches; a floor, no forecast)"
    )
    yield f"  exchanged a step  {_exchanged(step['exchanged'])}"
    for loop in step["loops"]:
        yield f"  loop              {_where(loop)}: {_kernels(loop)}"
        for copy in loop["whole_buffer_copies"]:
            yield f"  flaw              each iteration copies a whole sequence, {copy['shape']}, {size(copy['bytes'])}"


def _exchanged(found: Mapping[str, Any]) -> str:
    if not found["kinds"]:
        return "nothing"
    kinds = ", ".join(f"{kind} {size(total)}" for kind, total in found["kinds"].items())
    return f"{size(found['bytes'])} a device in {found['operations']:.3g} operations ({kinds})"


def _where(loop: Mapping[str, Any]) -> str:
    return f"{loop['layer']}, {loop['pass']} pass" if loop["layer"] else loop["source"] or "of unknown origin"


def _kernels(loop: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in loop["kernels"].items() if kind != "scalar")
    iterations = "an unknown number of" if loop["iterations"] is None else loop["iterations"]
    return f"{iterations} iterations of {loop['launches']} kernels ({kinds})"


def size(number: float) -> str:
    """Bytes in words."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} B" if unit == "B" else f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"


def count(number: float) -> str:
    """A number with the prefix of a unit to follow."""
    for prefix in ("", "k", "M", "G", "T"):
        if number < 1000 or prefix == "T":
            break
        number /= 1000
    return f"{number:.3g} {prefix}"


def time(seconds: float) -> str:
    """Seconds in words."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} us"
