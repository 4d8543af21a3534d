"""``python -m rnnjax.export FOLDER``: has an exported model answer the sample in its folder."""

import sys
from collections.abc import Sequence

from rnnjax import terminal
from rnnjax.errors import RnnjaxError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it with these arguments, or the process's own; returns the exit code: 0 where the answer is the same."""
    try:
        from rnnjax.export import check

        code, line = check.main(list(sys.argv[1:] if arguments is None else arguments))
        terminal.answer(line)
    except KeyboardInterrupt:
        terminal.tell("stopped by Ctrl-C")
        return 130
    except BrokenPipeError as error:
        terminal.lose("stdout", error)  # the reader of our output has gone
        return 1
    except (RnnjaxError, OSError) as error:
        terminal.tell(f"error: {error}")
        return getattr(error, "exit_code", 1)
    return code


if __name__ == "__main__":
    sys.exit(main())
