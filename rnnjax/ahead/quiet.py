"""Keeps off the terminal what libraries in C++ write of drivers and hosts that are not here. JAX is not imported."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

_SETTINGS = {
    "TPU_SKIP_MDS_QUERY": "1",  # libtpu asks the cloud for what machine this is, and waits
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # a TPU has one user at a time, but here is none
}
"""With these libtpu does not look for the TPU that is not here."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Within it, stderr goes nowhere, for all threads: an exception is what there is to say."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if sys.stderr is not None:  # it was closed before this process began
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is nothing to keep off
        yield
        return
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
