"""How long a training still takes."""

from collections.abc import Callable


class Estimate:
    """The time left: of whole epochs once there is one, before it of the steps since their program was compiled.

    Args:
      seconds: a clock that stands still while programs are compiled.
    """

    def __init__(self, seconds: Callable[[], float]):
        self._seconds = seconds
        self._mark = self._epoch_began = seconds()
        self._steps = (0, 0.0)
        self._first, self._whole = (0, 0.0), (0, 0.0)
        self._of_epoch, self._compiled = 0, False

    def skip(self) -> None:
        """What passed since the last call was no step: a validation, or a save."""
        self._mark = self._seconds()

    def took(self, steps: int, *, timed: bool) -> None:
        """Steps were done; those of a program's first call, whose time is that of compiling, are not ``timed``."""
        now = self._seconds()
        if timed:
            self._steps = (self._steps[0] + steps, self._steps[1] + now - self._mark)
            self._of_epoch += steps
        self._compiled |= not timed
        self._mark = now

    def epoch_done(self) -> None:
        """An epoch was trained and validated; the ones in which nothing was compiled count, once there are such."""
        now = self._seconds()
        spent = now - self._epoch_began
        if self._compiled:
            self._first = (self._of_epoch, spent)
        else:
            self._whole = (self._whole[0] + self._of_epoch, self._whole[1] + spent)
        self._mark = self._epoch_began = now
        self._of_epoch, self._compiled = 0, False

    def left(self, steps: int) -> float | None:
        """Seconds that so many steps take, their validations included once one is known; None: nothing is known."""
        for done, spent in (self._whole, self._first, self._steps):
            if done:
                return spent / done * steps
        return None
