"""Damages to a work folder and to the data cache, and whether each is seen.

    python -m tests.damage --count 500

trains a small run, then damages a copy of it so many times: single bits, words and rows of bytes, files cut, deleted,
exchanged for an older one or another run's, leaves exchanged within the arrays. After each it is asked what a command
would be: what would be resumed, and what would be predicted with. A damage is silent if nothing is said and any of that
differs in a bit. The last line is ``N of COUNT silent``; the exit code is 0 if N is 0.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
_OPTIONS = ("--model.features", "6", "--train.epochs", "3")
_CUTS = 8
"""Lengths at which a file is cut, its end excluded."""


@dataclass(frozen=True)
class Sandbox:
    """A finished run, another one that stands beside it, the first one's cache, and a place for damaged copies."""

    root: Path
    run: Path
    other: Path
    cache: Path

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"


def make(root: Path) -> Sandbox:
    """Trains two small runs of one configuration and fills a cache."""
    from experiments.digits_rows import EXPERIMENT
    from rnnjax.cli import main

    with contextlib.redirect_stdout(io.StringIO()):
        assert main(EXPERIMENT, [*_OPTIONS, "--seeds", "0", "1", "--runs-dir", str(root / "runs")]) == 0
    runs = root / "runs" / EXPERIMENT.name
    sandbox = Sandbox(root, runs / "seed-0", runs / "seed-1", root / "cache")
    cached(sandbox.cache)
    return sandbox


def cached(folder: Path) -> dict[str, Any]:
    """Arrays by way of the cache in a folder, as a data set's would be."""
    import numpy as np

    from rnnjax.data import cache

    def made() -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {
            "inputs": rng.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8),
            "lengths": rng.integers(0, 9, 60).astype(np.int32),
            "labels": rng.integers(0, 9, 60).astype(np.int32),
        }

    cache._verified.clear()  # as a new process would
    return {name: np.array(array) for name, array in cache.arrays(folder, {"kind": "damage"}, made).items()}


def bit(rng: random.Random, data: bytearray) -> None:
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)


def word(rng: random.Random, data: bytearray) -> None:
    place = rng.randrange(max(1, len(data) - 7))
    data[place : place + 8] = rng.randbytes(min(8, len(data) - place))


def row(rng: random.Random, data: bytearray) -> None:
    size = min(len(data), rng.choice((32, 96, 512)))
    place = rng.randrange(len(data) - size + 1)
    data[place : place + size] = rng.choice((bytes(size), rng.randbytes(size)))


def swapped(rng: random.Random, data: bytearray) -> None:
    """Two stretches of one length change places."""
    size = min(len(data) // 2, rng.choice((4, 24, 96)))
    first, second = sorted((rng.randrange(len(data) - size + 1), rng.randrange(len(data) - size + 1)))
    a, b = data[first : first + size], data[second : second + size]
    data[first : first + size], data[second : second + size] = b, a


def cut(rng: random.Random, data: bytearray) -> None:
    del data[len(data) * rng.randrange(_CUTS) // _CUTS :]


IN_PLACE = {"bit": bit, "word": word, "row": row, "swapped": swapped, "cut": cut}
KINDS = (*IN_PLACE, "deleted", "stale", "foreign", "leaves exchanged")


def files(root: Path) -> list[Path]:
    """What the bar is about: the checkpoints, the record and the preprocessing of a run, or the files of a cache."""
    inside = sorted(path for path in root.rglob("*") if path.is_file())
    kept = ("config.json", "preprocess.json")
    return [
        p
        for p in inside
        if "checkpoints" in p.parts or p.name in kept or p.name == "content.json" or p.suffix == ".npy"
    ]


def damage_run(rng: random.Random, sandbox: Sandbox, copy: Path, kind: str) -> str:
    """Does one damage to a copy of the run; what was done, in words."""
    if kind == "leaves exchanged":
        return _exchange_leaves(rng, copy)
    within = copy / "checkpoints" / max(os.listdir(copy / "checkpoints")) if kind == "stale" else copy
    path = rng.choice([p for p in files(within) if p.stat().st_size])
    relative = path.relative_to(copy)
    if kind == "deleted":
        path.unlink()
    elif kind in ("stale", "foreign"):
        source = _older(copy, relative) if kind == "stale" else sandbox.other / relative
        if not source.is_file():  # its name is a random one: all of that checkpoint's part, then
            path, source = path.parent, source.parent
        if not source.exists():
            return _replace(copy / "checkpoints", sandbox.other / "checkpoints")
        return _replace(path, source)
    else:
        data = bytearray(path.read_bytes())
        IN_PLACE[kind](rng, data)
        path.write_bytes(data)
    return f"{kind}: {relative}"


def _older(copy: Path, relative: Path) -> Path:
    steps = sorted(path.name for path in (copy / "checkpoints").iterdir())
    return copy / Path(*(steps[0] if part in steps else part for part in relative.parts))


def _replace(path: Path, source: Path) -> str:
    if path.is_dir():
        shutil.rmtree(path)
        shutil.copytree(source, path)
    else:
        shutil.copyfile(source, path)
    return f"{path.name} from {source.parent.parent.name}/{source.parent.name}"


def _exchange_leaves(rng: random.Random, copy: Path) -> str:
    """Saves the newest state again, with two leaves of one shape exchanged, under the manifest that it had."""
    import jax
    import orbax.checkpoint as ocp

    newest = sorted((copy / "checkpoints").iterdir())[-1]
    handler = ocp.StandardCheckpointHandler()
    state = handler.restore(newest / "state", args=ocp.args.StandardRestore())
    leaves, tree = jax.tree.flatten(state)
    pairs = [
        (i, j)
        for i in range(len(leaves))
        for j in range(i)
        if leaves[i].shape == leaves[j].shape and leaves[i].dtype == leaves[j].dtype and (leaves[i] != leaves[j]).any()
    ]
    i, j = rng.choice(pairs)
    leaves[i], leaves[j] = leaves[j], leaves[i]
    shutil.rmtree(newest / "state")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(newest / "state", jax.tree.unflatten(tree, leaves))
    return f"leaves {i} and {j} exchanged"


def answers(run: Path, like: Any) -> tuple[str, dict[str, Any]]:
    """What is said when a run is taken up and when it is predicted with, and all that either would go on with."""
    from rnnjax import digests
    from rnnjax.errors import RnnjaxError
    from rnnjax.runs.predict import load
    from rnnjax.runs.resume import restored
    from rnnjax.runs.workdir import WorkDir
    from rnnjax.tasks import Classification
    from rnnjax.training.checkpoint import Checkpoints
    from rnnjax.training.parallel import DataParallel

    said, got = io.StringIO(), {}
    with contextlib.redirect_stderr(said):
        try:
            record = WorkDir(run).read_run()
            loaded = load(run)
            got["predict"] = digests.of_tree(loaded.variables) | {"by": digests.of_json(loaded.preprocess.to_json())}
            checkpoints = Checkpoints(run / "checkpoints", record.mark(), digested=record.digested)
            state, progress = restored(WorkDir(run), checkpoints, like, DataParallel(), Classification().rank)
            got["resume"] = digests.of_tree(state) | {"progress": digests.of_json(vars(progress))}
        except RnnjaxError as error:
            said.write(str(error))
    return said.getvalue(), got


@functools.cache
def state_like(run: Path) -> Any:
    """A fresh state of the run that a folder holds, in whose form its checkpoints are read."""
    from rnnjax import data
    from rnnjax.experiment import Experiment
    from rnnjax.runs.workdir import WorkDir
    from rnnjax.training.runner import Runner

    config = WorkDir(run).read_run().config
    return Runner(Experiment(**vars(config)), data.load(config.data)).create_state(0)


def silent_in_process(rng: random.Random, sandbox: Sandbox, wanted: dict[str, Any], kind: str) -> tuple[str, bool]:
    """Damages a copy of the run, or of the cache; what was done, and whether it went unseen and changed something."""
    shutil.rmtree(sandbox.scratch, ignore_errors=True)
    if rng.random() < 0.25 and kind in (*IN_PLACE, "deleted"):
        return _damaged_cache(rng, sandbox, wanted["cache"], kind)
    shutil.copytree(sandbox.run, sandbox.scratch)
    done = damage_run(rng, sandbox, sandbox.scratch, kind)
    said, got = answers(sandbox.scratch, state_like(sandbox.run))
    return done, not said and got != wanted["run"]


def _damaged_cache(rng: random.Random, sandbox: Sandbox, wanted: Any, kind: str) -> tuple[str, bool]:
    import numpy as np

    shutil.copytree(sandbox.cache, sandbox.scratch)
    path = rng.choice(files(sandbox.scratch))
    if kind == "deleted":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        IN_PLACE[kind](rng, data)
        path.write_bytes(data)
    with contextlib.redirect_stderr(io.StringIO()):
        got = cached(sandbox.scratch)
    same = got.keys() == wanted.keys() and all(np.array_equal(got[name], wanted[name]) for name in wanted)
    return f"cache, {kind}: {path.name}", not same


def silent_as_a_command(rng: random.Random, sandbox: Sandbox, wanted: str, kind: str) -> tuple[str, bool]:
    """The same by a whole command: ``evaluate`` in a process of its own."""
    shutil.rmtree(sandbox.scratch, ignore_errors=True)
    shutil.copytree(sandbox.run, sandbox.scratch)
    done = damage_run(rng, sandbox, sandbox.scratch, kind)
    ended = evaluate(sandbox.scratch)
    said = [line for line in ended.stderr.splitlines() if not line.startswith("by class: ")]
    return f"command, {done}", ended.returncode == 0 and not said and ended.stdout != wanted


def evaluate(run: Path) -> subprocess.CompletedProcess[str]:
    """What ``evaluate`` prints of a run, in a process of its own."""
    command = [sys.executable, "-m", "experiments.digits_rows", "evaluate", "--workdir", str(run), "--cpu-devices", "1"]
    return subprocess.run(command, cwd=CHECKOUT, env=os.environ, capture_output=True, text=True, timeout=300)


def damages(sandbox: Sandbox, count: int, seed: int = 0) -> Iterator[tuple[str, bool]]:
    """So many damages, one in 25 of them met by a whole command: what was done, and whether it is silent."""
    rng, whole = random.Random(seed), max(1, count // 25)
    wanted = {"run": answers(sandbox.run, state_like(sandbox.run))[1], "cache": cached(sandbox.cache)}
    assert set(wanted["run"]) == {"predict", "resume"}, "the whole run is not read: nothing can be compared"
    as_printed = evaluate(sandbox.run).stdout
    assert json.loads(as_printed)["examples"], "nothing was evaluated: nothing can be compared"
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        if number < whole:
            yield silent_as_a_command(rng, sandbox, as_printed, kind)
        else:
            yield silent_in_process(rng, sandbox, wanted, kind)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="damages")
    parser.add_argument("--seed", type=int, default=0, help="of the damages")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RNNJAX_CACHE_DIR"] = str(Path(folder) / "user-cache")
        sandbox = make(Path(folder))
        for done, silent in damages(sandbox, given.count, given.seed):
            counts[done.split(":")[0]] += 1
            if silent:
                counts["silent"] += 1
                print(f"silent: {done}", flush=True)
    silent = counts.pop("silent", 0)
    print(", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()) if number > 3))
    print(f"{silent} of {given.count} silent")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
