"""What each experiment's train step is lowered to: ``python -m tests.lowered --write`` remakes ``tests/lowered.json``.

Nothing is compiled and no data are read. The file is remade by a change that is meant to change what a step computes,
and by no other. Names, the order of arguments and lines, and what is a function of its own do not matter to a hash;
every operation, shape, dtype and constant does, and how many arguments are donated. Which value goes into which
operation does not show here; it shows in ``tests/golden.json``. ``python -m tests.lowered NAME`` prints what is hashed,
to compare it with what another commit prints.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

import experiments
from rnnjax.config import Config, ImageFolderData, TextData
from rnnjax.data import Dataset, ImagePreprocess, Plan, TextPreprocess, labelled, sequences
from rnnjax.data.adding import AddingData
from rnnjax.data.aeon_sets import AeonData
from rnnjax.data.corpus import CorpusData, DocumentsCorpus
from rnnjax.data.digit_strings import DigitStringsData
from rnnjax.data.documents import SelfTrainingText
from rnnjax.data.examples import Examples
from rnnjax.data.forecast_preprocess import ForecastPreprocess
from rnnjax.data.forecast_table import ForecastTable
from rnnjax.data.log_mel import LogMel
from rnnjax.data.pair_config import PairConfig
from rnnjax.data.pair_plan import PairPlan
from rnnjax.data.pairs import SPLITS, Pairs
from rnnjax.data.pairs import dataset as paired
from rnnjax.data.plan import Streams
from rnnjax.data.sequence_preprocess import SequencePreprocess
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.data.sequence_targets import Targets
from rnnjax.data.series import Reading
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.spoken_digits import SpokenDigits
from rnnjax.data.state_tracking import StateTrackingData
from rnnjax.data.string_preprocess import StringPreprocess
from rnnjax.data.times import Step
from rnnjax.data.token_sets import SPECIAL, TokenSet
from rnnjax.data.tokens import END, Vocabulary
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.data.windows import windows
from rnnjax.experiment import Experiment
from rnnjax.training.runner import Runner
from rnnjax.training.state import with_carry

STORED = Path(__file__).with_name("lowered.json")
DEVICES = 2
SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3), "imagenet2012": (224, 224, 3)}


def lowered(experiment: Experiment) -> str:
    """The StableHLO of a chunk of two steps.

    What a restructuring changes of making and calling a program changes here, and nowhere else in this file.
    """
    config, dataset = experiment.config, made_up(experiment.config)
    if getattr(config.data, "crop_size", 0):  # as of images that are decoded anew: streamed
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, device_budget_mib=0))
    task = experiment.task  # a score is of no step, and BLEU needs a package
    task = dataclasses.replace(task, score="exact_match") if task.writes else task  # pyright: ignore
    made = Experiment(**vars(config), task=task).settled(dataset)
    program = Runner(made, dataset, jax.devices()[:DEVICES])
    state = with_carry(jax.eval_shape(program._initialize, jax.random.key(0)), program.fresh_carry())
    chunk, data, arguments = next(program.feed_training(program.train_plan(seed=0, epoch=0), 0))
    arguments["learning_rate_scale"] = np.float32(1)
    return program._train_function(chunk.length).lower(state, data, arguments).as_text()


EXPERIMENTS = {e.name: e for e in experiments.every() if isinstance(e, Experiment)}


def made_up(config: Config) -> Dataset:
    """Two batches of the experiment's shapes and dtypes; documents are as long as the largest bucket."""
    data, count = config.data, 2 * config.data.batch_size
    if isinstance(data, PairConfig):
        texts = [" ".join(f"{row}.{place}" for place in range(12)) for row in range(count)]
        plain = {"source_splitter": "words", "target_splitter": "words"}
        every = Pairs(texts, texts)
        return paired(data.name, dataclasses.replace(data, **plain), dict.fromkeys(SPLITS, every))
    if isinstance(data, CorpusData):
        tokens = 2_000 if isinstance(data, DocumentsCorpus) else 67
        preprocess = WindowPreprocess(Vocabulary(tuple(map(str, range(tokens)))), data.window)
        last = np.full(count * data.window + 1, tokens - 1, np.int32)  # of a word that any task predicts
        every = windows(last, data.window)
        return Dataset(data.name, every, every, every, preprocess, plan=Streams())
    if isinstance(data, SpokenDigits):
        mel, digits = LogMel.of(8000, data.frame_ms, data.hop_ms, data.mels, data.decibels), tuple("0123456789")
        bands, targets = tuple(map(str, range(data.mels))), Targets("class", digits, ("label",), 10)
        statistics = (0.0,) * data.mels, (1.0,) * data.mels
        preprocess = SequencePreprocess(
            bands, *statistics, (), (64,), None, targets, sequences.Reading(rate=mel.rate), mel
        )
        silence = np.zeros(64 * mel.hop, np.int16)
        every = preprocess.examples([sequences.Series("", "", silence, (digits[n % 10],)) for n in range(count)])
        return Dataset(data.name, every, every, every, preprocess, plan=Plan((64,)), target="class")
    if isinstance(data, SequenceTable | AeonData):
        shape, classes = (count, 64, 3), tuple(map(str, range(4)))
        every = labelled(
            np.zeros(shape, np.float32), (np.arange(count) % 4).astype(np.int32), np.full(count, 64, np.int32)
        )
        like = {"inputs": Shape((1, *shape[1:]), np.dtype(np.float32)), "lengths": Shape((1,), np.dtype(np.int32))}
        spec = Spec(like, outputs=4, names=classes)
        targets = Targets("class", classes, ("label",), 4)  # augmentation asks which channels there are
        preprocess = SequencePreprocess(
            ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, (), (64,), None, targets, sequences.Reading()
        )
        return Dataset(data.name, every, every, every, preprocess, given=spec, plan=Plan((64,)), target="class")
    if isinstance(data, ForecastTable):
        look_back, horizon = data.look_back or 96, data.horizon or 24
        preprocess = ForecastPreprocess(Reading(("a", "b")), (0.0, 0.0), (1.0, 1.0), look_back, horizon, Step())
        every = preprocess.windows(np.zeros((count + look_back + horizon - 1, 2)))
        return Dataset(data.name, every, every, every, preprocess)
    if isinstance(data, DigitStringsData):
        side, ids = 28, np.int32
        tokens = TokenSet("characters", Vocabulary((*SPECIAL, *"0123456789")))
        preprocess = StringPreprocess(side, data.most * side, tokens, data.most + 1, 0.1, 0.3)
        arrays = {
            "inputs": np.zeros((count, preprocess.columns, side), np.uint8),
            "targets": np.tile(np.array([*range(3, 3 + data.most), END], ids), (count, 1)),
            "targets_lengths": np.full(count, data.most + 1, ids),
        }
        every = Examples(arrays, np.full(count, preprocess.columns, ids), ("inputs", "targets"))
        return Dataset(
            data.name, every, every, every, preprocess, plan=PairPlan(((preprocess.columns, data.most + 1),))
        )
    if isinstance(data, AddingData):
        return dataclasses.replace(data, training_sequences=3 * data.batch_size, test_sequences=2).load()
    if isinstance(data, StateTrackingData):
        steps, ids = (count, data.longest), np.int32
        states = np.broadcast_to(np.arange(count)[:, None] % 2, steps).astype(ids)
        arrays = {"inputs": np.full(steps, 2, ids), "labels": states}
        every = Examples(arrays, np.full(count, data.longest, ids), ("inputs", "labels"))
        return dataclasses.replace(data.load(), train=every, validation=every, test=every)
    if isinstance(data, TextData):
        length = (data.bucket_lengths or (400,))[-1]
        words = Vocabulary(tuple(map(str, range(data.vocabulary_size))))
        preprocess, classes = TextPreprocess(words, length, ("0", "1")), 2
        inputs, lengths = np.zeros((count, length), np.int32), np.full(count, length, np.int32)
    else:
        folder = isinstance(data, ImageFolderData)
        shape = (data.height, data.width, 3) if folder else SHAPES[data.name]
        classes = 1000 if data.name == "imagenet2012" else 10
        names, channels = tuple(map(str, range(classes))), shape[-1]
        preprocess = ImagePreprocess(shape, (0.5,) * channels, (0.25,) * channels, names)
        inputs, lengths = np.zeros((count, *shape), np.uint8), None
    every = labelled(inputs, (np.arange(count) % classes).astype(np.int32), lengths)
    if isinstance(data, SelfTrainingText):
        weights = np.ones(count, np.float32)
        every = dataclasses.replace(every, arrays={**every.arrays, "weights": weights})
    return Dataset(data.name, every, every, every, preprocess, plan=Plan(() if lengths is None else (length,)))


def made_with() -> dict[str, str]:
    """What the text depends on."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")}
    return {"platform": jax.default_backend(), **versions}


def described(text: str) -> dict[str, Any]:
    """The hash of a module, and the number of each of its operations."""
    lines = plain_lines(text)
    operations: Counter[str] = Counter()
    for line, count in lines.items():
        if operation := re.match(r'(?:% = )?"?([a-z]+\.\w+)', line):
            operations[operation[1]] += count
    hashed = hashlib.sha256(json.dumps(sorted(lines.items())).encode()).hexdigest()
    return {"hash": hashed, "operations": dict(sorted(operations.items()))}


def plain_lines(text: str) -> Counter[str]:
    """How often each line of a module is there, names left out; a function's lines count once for each call of it."""
    own: dict[str, Counter[str]] = defaultdict(Counter)
    calls: dict[str, list[str]] = defaultdict(list)
    function = ""
    for line in map(str.strip, text.splitlines()):
        if start := re.match(r"func\.func \w+ @(\w+)", line):
            function = start[1]
            if function == "main":
                own[function] += Counter({"donated": line.count("tf.aliasing_output"), _in_no_order(line): 1})
        elif called := re.search(r"\bcall @(\w+)", line):
            calls[function].append(called[1])
        elif function and line != "}" and not line.startswith("return"):
            listing = re.search(r"stablehlo\.(while|return)\b|sdy\.(manual_computation|return)\b|^} : ", line)
            own[function][_in_no_order(line) if listing else re.sub(r"%[\w:#]+", "%", line)] += 1

    @functools.cache
    def of(function: str) -> Counter[str]:
        return sum(map(of, calls[function]), own[function])

    return of("main")


def _in_no_order(line: str) -> str:
    """What a line that lists all arguments, or all that a loop carries, says of their types."""
    operation = re.search(r"[a-z]+\.\w+", line)
    return " ".join([operation[0] if operation else "", *sorted(re.findall(r"tensor<[^>]*>", line))])


def compute() -> dict[str, Any]:
    """What the file holds."""
    return {"made_with": made_with(), "steps": {name: described(lowered(c)) for name, c in EXPERIMENTS.items()}}


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES)
    if sys.argv[1:] == ["--write"]:
        STORED.write_text(json.dumps(compute(), indent=1) + "\n", encoding="utf-8")
    else:
        print("\n".join(f"{n} {line}" for line, n in sorted(plain_lines(lowered(EXPERIMENTS[sys.argv[1]])).items())))
