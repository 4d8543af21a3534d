"""Eight simulated CPU devices for every test, and the conditions under which they run."""

import gc
import json
import os
from collections import defaultdict
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


@pytest.hookimpl(tryfirst=True)  # before those that are slow are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what was measured to take long, unless it is there to be always run, or is measured again."""
    measured = {} if os.environ.get("RNNJAX_TEST_SECONDS") else json.loads(_SECONDS.read_text(encoding="utf-8"))
    for item in items:
        if item.nodeid in measured and not item.get_closest_marker("always"):
            item.add_marker(pytest.mark.slow)


_SECONDS = Path(__file__).with_name("seconds.json")
"""The tests that take long: RNNJAX_TEST_SECONDS=tests/seconds.json python -m pytest measures them again."""
_LONG = 1.5
_taken: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Appends the names of skipped tests to the file RNNJAX_TEST_SKIPPED: pytest @FILE runs them where all is there.

    Of several processes, only the one that collects their reports writes.
    """
    path = os.environ.get("RNNJAX_TEST_SKIPPED")
    if path and report.skipped and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a", encoding="utf-8") as names:
            names.write(f"{report.nodeid}\n")
    if report.when == "call":  # what a fixture takes is another test's if this one is left out
        _taken[report.nodeid] += report.duration


def pytest_sessionfinish() -> None:
    """Writes the tests that took long to the file RNNJAX_TEST_SECONDS; those that did not run stay as they are."""
    path = os.environ.get("RNNJAX_TEST_SECONDS")
    if path and "PYTEST_XDIST_WORKER" not in os.environ:
        known = json.loads(_SECONDS.read_text(encoding="utf-8"))
        others = {name: taken for name, taken in known.items() if name not in _taken}
        long = {name: round(taken, 1) for name, taken in _taken.items() if taken >= _LONG}
        Path(path).write_text(json.dumps(others | long, indent=0, sort_keys=True) + "\n", encoding="utf-8")


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
