"""Eight simulated CPU devices for every test, and the conditions under which they run."""

import gc
import os
from pathlib import Path

# Compiling is most of what the tests take, and a test of numbers does not need the fastest program: half the time.
# JAX reads this once, and the processes that tests start inherit it; =0 compiles everything as a user's run does.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# What compiles for TPUs and GPUs that are not there must not look for them.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

from tests import compiled_once

# What is traced and compiled lives until the end, and the collector would look through it again and again.
gc.set_threshold(100_000, 50, 1000)

jax.config.update("jax_num_cpu_devices", 8)
# A test is of what is compiled now; the tests of the cache itself turn it on.
jax.config.update("jax_enable_compilation_cache", False)
jax.devices()  # from here on the number holds, whatever a test of the command line asks for

if _SPREAD := os.environ.get("RNNJAX_TEST_SPREAD"):
    from rnnjax.training.parallel import DataParallel
    from tests import under_shard_map

    # The same tests over another way to spread a step over devices; a word that is no such way ends the session.
    DataParallel.spread = {"shard_map": under_shard_map.spread, "pmap": under_shard_map.PMAP}[_SPREAD]

_PLAIN = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] not in ("0", "false", "False", "")
_compiled_plainly = _PLAIN
# Where a test is of numbers alone, a program that another test has compiled is as good as its own.
compiled_once.install(lambda: _compiled_plainly)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compiles as asked for by the test, also for the fixtures of its module; the option is no key of JAX's memory."""
    global _compiled_plainly
    plainly = _PLAIN and item.get_closest_marker("optimized") is None
    if plainly != _compiled_plainly:
        jax.config.update("jax_disable_most_optimizations", plainly)
        jax.clear_caches()
        _compiled_plainly = plainly


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Appends the names of skipped tests to the file RNNJAX_TEST_SKIPPED: pytest @FILE runs them where all is there.

    Of several processes, only the one that collects their reports writes.
    """
    path = os.environ.get("RNNJAX_TEST_SKIPPED")
    if path and report.skipped and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a", encoding="utf-8") as names:
            names.write(f"{report.nodeid}\n")


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
