"""Eight simulated CPU devices for every test, and the conditions under which they run."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
# A test is of what is compiled now; the tests of the cache itself turn it on.
jax.config.update("jax_enable_compilation_cache", False)
jax.devices()  # from here on the number holds, whatever a test of the command line asks for


@pytest.fixture
def tfds_dir() -> Path:
    """The folder of prepared TFDS data sets, or a skip where there is none."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TFDS_DATA_DIR names no folder of prepared data sets")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded data of the tests stay out of the user's cache; one folder serves all tests of a run."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(folder))
