"""Writes ``tests/vectors/{torch,keras}.npz`` from PyTorch and Keras: ``python -m tests.make_vectors``.

They let the plain test run, which has neither framework, compare with both.
"""

from pathlib import Path

import numpy as np

from tests.parity_cases import STORED_KERAS, STORED_TORCH, keras_case, torch_case

VECTORS = Path(__file__).parent / "vectors"


def main() -> None:
    VECTORS.mkdir(exist_ok=True)
    for framework, cases, compute in (("torch", STORED_TORCH, torch_case), ("keras", STORED_KERAS, keras_case)):
        arrays = {f"{case.name}/{name}": value for case in cases for name, value in compute(case).items()}
        path = VECTORS / f"{framework}.npz"
        np.savez_compressed(path, **arrays)
        print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
