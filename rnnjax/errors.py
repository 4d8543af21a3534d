"""Errors that users cause and can mend; the command line prints them without a traceback."""


class RnnjaxError(Exception):
    """Base of the errors below. ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(RnnjaxError):
    """An option, an argument or a shape that cannot be right (exit code 2)."""

    exit_code = 2


class DataError(RnnjaxError):
    """Data that are missing, unreadable or not what was promised (exit code 1)."""


class MissingDataError(DataError):
    """Public data that are not on this machine (exit code 1)."""


class RunError(RnnjaxError):
    """A run that cannot go on, such as one whose loss is no longer finite (exit code 1)."""


class SaveError(RunError):
    """A checkpoint that cannot be written (exit code 1); what was saved before is kept."""


class AuditError(RunError):
    """A machine that gave two answers to one question: see ``--train.audit`` (exit code 3)."""

    exit_code = 3


class Interrupted(RnnjaxError):
    """A run that was stopped by a signal after saving; ``exit_code`` is 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number
