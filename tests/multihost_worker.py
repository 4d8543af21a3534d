"""One host of several: trains the digits on its share of four simulated devices.

Started by test_multihost.py: ``python -m tests.multihost_worker PORT HOSTS HOST FOLDER [STEP]``; given STEP,
host 1 alone is told to stop after exactly that many steps, and all hosts must.
"""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import jax

from rnnjax.errors import Interrupted


def main(port: str, hosts: int, host: int, folder: Path, stop_after: int) -> int:
    """Trains; returns the exit code."""
    jax.config.update("jax_num_cpu_devices", 4 // hosts)
    if hosts > 1:
        jax.distributed.initialize(coordinator_address=f"localhost:{port}", num_processes=hosts, process_id=host)
    from rnnjax.runs.fitting import run as fit
    from tests.small import CONFIG, small_program

    # No dropout: each device draws its own, and then every number of devices draws another.
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, dropout=0.0))

    def stop(step: int) -> None:
        if step == stop_after and host == 1:  # once: a second signal would end the process at once
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        result = fit(small_program(config), 0, folder, on_chunk=stop)
    except Interrupted as stopped:
        print(stopped)
        return stopped.exit_code
    print(result["metrics"]["test"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), int((*sys.argv, "0")[5])))
