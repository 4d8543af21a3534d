"""Whether a run that a module is to begin from is the language model which that module reads as."""

from rnnjax import terminal
from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import UsageError
from rnnjax.experiment import known_task
from rnnjax.runs.source import Source
from rnnjax.training.transfer import Tokens, Transfer

_READS = {False: "from their beginning", True: "from their end"}


def check_reads_alike(where: str, backwards: bool, source: Source, here: Tokens) -> None:
    """Refuses weights that may fit by name and shape, and read otherwise than they were trained to.

    Args:
      where: what was asked for, ``MODULE=WORKDIR``.
      backwards: whether the module reads from the end.
      source: the run's.
      here: the tokens of the run that begins.

    Raises:
      UsageError: if the run is no language model, reads in the other direction, or knows none of the tokens.
    """
    task = known_task(source.task)
    if task is not None and not (task.generates or task.begins_others):
        raise UsageError(
            f"--init-from {where}: that run holds no language model, its task is {source.task}; give one that reads "
            f"texts {_READS[backwards]}"
        )
    if source.backwards not in (None, backwards):
        raise UsageError(
            f"--init-from {where}: that language model reads texts {_READS[not backwards]}, and the module "
            f"{_READS[backwards]}; give one of the other --data.direction"
        )
    _check_tokens(where, source.tokens, here)


def check_widths(where: str, chosen: Transfer, tokens: tuple[Tokens, Tokens]) -> None:
    """Refuses weights of which a part would be left fresh for its widths; another vocabulary is no matter of widths.

    Args:
      where: what was asked for.
      chosen: what would be taken.
      tokens: theirs and ours.

    Raises:
      UsageError: if the widths are others.
    """
    there, here = tokens
    for path, shapes in chosen.unfit.items():
        apart = [pair for pair in zip(*shapes, strict=False) if pair[0] != pair[1]]
        if len(shapes[0]) != len(shapes[1]) or apart != [(there.size, here.size)]:
            raise UsageError(
                f"--init-from {where}: {path.removeprefix('params/')} is {shapes[0]} there and {shapes[1]} here; give "
                "the model the cell and the widths of that language model by --model.cell and --model.features"
            )


def check_layers(where: str, chosen: Transfer) -> None:
    """Refuses weights beside which layers of the recurrence would be left fresh, or unused.

    Args:
      where: what was asked for.
      chosen: what would be taken of all.

    Raises:
      UsageError: if there are such layers.
    """
    apart = [path for path in (*chosen.fresh, *chosen.unused) if "/recurrent/" in path]
    if apart:
        side = "here and not there" if apart[0] in chosen.fresh else "there and not here"
        raise UsageError(
            f"--init-from {where}: {apart[0].removeprefix('params/')} is {side}; give the model the cell and the "
            "layers of that language model by --model.cell and --model.features"
        )


def _check_tokens(where: str, there: Tokens, here: Tokens) -> None:
    if not (there.words and here.words) or there.means_the_same(here):
        return
    known, count = int((here.rows_of(there)[UNKNOWN + 1 :] >= 0).sum()), len(here.words) - UNKNOWN - 1
    if not known:
        raise UsageError(
            f"--init-from {where}: that language model knows none of the {count:,} tokens here, so that its reading "
            "is of no use; train one on such texts, with the same --data.tokenizer"
        )
    if known < count / 2:
        terminal.note(
            f"--init-from {where}: that language model knows {known:,} of the {count:,} tokens here; the others begin "
            "fresh"
        )
