"""Whatever a table holds, what comes out of each reader, and of a whole run, is a result or an error of ours."""

import collections
import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax import data, own
from rnnjax.data import Dataset
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.runs import announce, fitting
from rnnjax.runs import bars as beside
from tests import odd_tables

PARTS, TABLES, RUNS = 20, 100, 10
"""Parts of the test, the tables that each reader gets in one, and the oddest that are trained on."""
FEWEST = {"text": 2, "sequence": 2, "forecast": 10}
"""Of those, how many each reader reads at least: most have a column of one class, of junk, or too few rows."""
FEWEST_JUDGED = 4
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "text": [{}, {}, {"tokenizer": "characters", "max_length": 50}, {"group_column": "group"}],
    "sequence": [{}, {}, {"max_length": 6}, {"target": "class"}],
    "forecast": [
        {"look_back": 4, "horizon": 2, "gaps": "forward", "missing": "forward"},
        {"look_back": 4, "horizon": 2, "gaps": "keep", "missing": "forward"},
        {"look_back": 2, "horizon": 1, "missing": "forward", "loss": "pinball"},
        {},
    ],
}
SMALL: dict[str, dict[str, Any]] = {
    "text": {"features": (4,), "embedding_features": 4},
    "sequence": {"features": (4,)},
    "forecast": {"features": 4},
}


def experiment(kind: str, path: Path, options: dict[str, Any]):
    """What the command trains, with a model of next to nothing and for one epoch."""
    given = own.KINDS[kind].experiment
    train = dataclasses.replace(given.train, epochs=1, compilation_cache=False)
    section = dataclasses.replace(given.data, path=str(path), batch_size=8, **options)
    model = dataclasses.replace(given.model, **SMALL[kind])
    return dataclasses.replace(given, data=section, model=model, train=train)


def features(dataset: Dataset) -> dict[str, int]:
    """What may be odd about a data set, each in a few steps."""
    train = dataset.train
    some = {name: np.asarray(array[:50]) for name, array in train.stored().items()}
    finite = [np.abs(array[np.isfinite(array)]) for array in some.values() if array.dtype.kind == "f" and array.size]
    largest = max((array.max() for array in finite if array.size), default=0)
    longest = 0 if train.lengths is None else int(train.lengths.max(initial=0))
    return {
        "examples": _steps(len(train)),
        "classes": _steps(len(dataset.spec.names)),
        "longest": _steps(longest),
        "empty": int(train.lengths is not None and not train.lengths.all()),
        "wide": _steps(some["inputs"].shape[-1]),
        "largest": _steps(largest),
        "different": _steps(len(np.unique(some["inputs"]))),
        "notes": len(dataset.notes),
        **{name: len(array.shape) for name, array in some.items()},
    }


def _steps(value: float) -> int:
    return round(math.log2(value + 1))


def oddest(loaded: list[tuple[str, int, dict[str, Any], dict[str, int]]], count: int):
    """Those whose features the fewest others share, of each kind in turn."""
    counted = collections.Counter((kind, *item) for kind, _, _, found in loaded for item in found.items())
    total = collections.Counter(kind for kind, *_ in loaded)

    def rarity(one):
        kind, _, _, found = one
        return sum(math.log(total[kind] / counted[kind, *item]) for item in found.items())

    ranked = {kind: sorted((one for one in loaded if one[0] == kind), key=rarity) for kind in SMALL}
    chosen = []
    while len(chosen) < count and any(ranked.values()):
        chosen += [of_kind.pop() for of_kind in ranked.values() if of_kind]
    return chosen[:count]


def is_judged(given, root: Path, capsys) -> bool:
    """Whether a run came to its end, with a result that says what it is worth; False: it was refused."""
    try:
        started = fitting.Started(given, lenient=True)
        result = started.fit(0, root)
    except (DataError, UsageError, RunError):
        return False
    announce.print_summary(started.experiment, [(root, result.record)])
    out, err = capsys.readouterr()
    assert "could not be" not in err, err

    def no_number(word: str):
        raise AssertionError(f"{word} in result.json")

    kept = json.loads((root / "result.json").read_text(), parse_constant=no_number)
    assert out.splitlines()[-1] == kept["bars"]["said"]
    return True


@pytest.fixture
def few_programs():
    """Lets go of compiled programs: of hundreds of trainings in one process they fill its table of memory maps."""
    yield
    jax.clear_caches()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize("part", range(PARTS))
def test_of_odd_tables_comes_a_data_set_or_our_error_and_of_the_oddest_a_result(part, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(beside, "seconds_for", lambda training, own: 1.0)  # each bar has a second, and a sample for it
    loaded = []
    for seed in range(part * TABLES, (part + 1) * TABLES):
        path = written(tmp_path, seed)
        for kind, options in OPTIONS.items():
            chosen = options[(seed // len(odd_tables.MAKERS)) % len(options)]
            with contextlib.suppress(DataError, UsageError):
                dataset = data.load(experiment(kind, path, chosen).data)
                loaded.append((kind, seed, chosen, features(dataset)))
    read = collections.Counter(kind for kind, *_ in loaded)
    assert all(read[kind] >= fewest for kind, fewest in FEWEST.items()), f"{read} are no odder than what people have"
    judged: collections.Counter[str] = collections.Counter()
    for number, (kind, seed, chosen, found) in enumerate(oddest(loaded, RUNS)):
        try:
            judged[kind] += is_judged(
                experiment(kind, written(tmp_path, seed), chosen), tmp_path / f"run-{number}", capsys
            )
        except BaseException as error:
            error.add_note(f"{kind}, table {seed}, {chosen}, {found}")
            raise
    assert judged.total() >= FEWEST_JUDGED and len(+judged) > 1, f"{judged}: most of what is read can be trained on"


def written(folder: Path, seed: int) -> Path:
    """The file of a seed."""
    name, content = odd_tables.table(seed)
    path = folder / f"{seed}-{name}"
    path.write_bytes(content)
    return path
