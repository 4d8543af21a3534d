"""A class at each step: losses are PyTorch's, scores scikit-learn's, spans those of a plain reading of conlleval."""

import functools
import json
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

import rnnjax
from rnnjax import data
from rnnjax.data import Preprocess, Spec
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.spec import Shape
from rnnjax.tasks import losses, spans
from rnnjax.training.runner import Runner

RNG = np.random.default_rng(0)
B, T = 6, 9
BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
BIOES = ("I-a", "E-b", "O", "S-a", "B-b", "I-b", "E-a", "B-a", "S-b")
BARE = ("B", "I", "O")
BILOU = ("O", "B-x", "I-x", "L-x", "U-x", "B-y-z", "L-y-z")
SCHEMES = {"BIO": BIO, "BIOES": BIOES, "bare": BARE, "BILOU": BILOU}
LOGITS = (2 * RNG.normal(size=(B, T, 5))).astype(np.float32)
LABELS = RNG.integers(-1, 5, (B, T)).astype(np.int32)
LENGTHS = np.array([9, 4, 7, 1, 0, 9], np.int32)
MASK = np.array([1, 1, 1, 1, 1, 0], bool)
WEIGHTS = RNG.uniform(0, 3, B).astype(np.float32)
COUNTED = MASK[:, None] & (np.arange(T) < LENGTHS[:, None]) & (LABELS >= 0)
BATCH = {"labels": LABELS, "lengths": LENGTHS, "mask": MASK}
SPEC = Spec({"inputs": Shape((1, T), np.dtype(np.int32))}, outputs=5, names=BIO)


def totals(task: Any, outputs: Any, batch: Any, train: bool = False) -> dict[str, np.ndarray]:
    sums = jax.jit(functools.partial(task.sums, train=train))(outputs, dict(batch))
    return {name: np.asarray(value, np.float64) for name, value in sums.items()}


# Losses.


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_steps_and_its_gradient_are_torchs_which_ignores_the_same(smoothing):
    torch = pytest.importorskip("torch")
    logits = torch.tensor(LOGITS.reshape(-1, 5), requires_grad=True)
    labels = torch.tensor(LABELS.reshape(-1).astype(np.int64))
    theirs = torch.nn.functional.cross_entropy(
        logits, labels, ignore_index=-1, reduction="none", label_smoothing=smoothing
    )
    theirs.sum().backward()
    ours = losses.per_step_cross_entropy(jnp.array(LOGITS), jnp.array(LABELS), smoothing)
    np.testing.assert_allclose(ours.reshape(-1), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: losses.per_step_cross_entropy(x, jnp.array(LABELS), smoothing).sum())(
        jnp.array(LOGITS)
    )
    assert logits.grad is not None
    np.testing.assert_allclose(gradient.reshape(-1, 5), logits.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_the_loss_of_half_precision_is_computed_in_float32():
    half = losses.per_step_cross_entropy(jnp.array(LOGITS, jnp.bfloat16), jnp.array(LABELS))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, losses.per_step_cross_entropy(jnp.array(LOGITS), jnp.array(LABELS)), atol=0.1)


def test_the_loss_is_a_mean_over_the_steps_that_count_in_nats():
    found = rnnjax.PerStep().finish(totals(rnnjax.PerStep(), LOGITS, BATCH))
    probabilities = np.exp(LOGITS[COUNTED]) / np.exp(LOGITS[COUNTED]).sum(-1, keepdims=True)
    assert found["loss"] == pytest.approx(metrics.log_loss(LABELS[COUNTED], probabilities, labels=range(5)), rel=1e-5)


def test_labels_are_smoothed_in_training_alone():
    task = rnnjax.PerStep(label_smoothing=0.2)
    smooth, plain = totals(task, LOGITS, BATCH, train=True), totals(task, LOGITS, BATCH)
    assert smooth["loss"] != pytest.approx(plain["loss"])
    assert totals(rnnjax.PerStep(), LOGITS, BATCH, train=True)["loss"] == plain["loss"]


# Scores.


@pytest.mark.parametrize("weighed", [False, True])
def test_accuracy_and_macro_f1_are_scikit_learns_over_the_steps_that_count(weighed):
    batch = BATCH | ({"weights": WEIGHTS} if weighed else {})
    found = rnnjax.PerStep().finish(totals(rnnjax.PerStep(), LOGITS, batch))
    labels, predicted = LABELS[COUNTED], LOGITS.argmax(-1)[COUNTED]
    weights = np.broadcast_to(WEIGHTS[:, None], COUNTED.shape)[COUNTED] if weighed else None
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted, sample_weight=weights))
    f1 = metrics.f1_score(labels, predicted, average="macro", sample_weight=weights)
    assert found["macro_f1"] == pytest.approx(f1, rel=1e-5)


def test_a_class_that_never_occurs_has_no_part_in_macro_f1():
    labels, predicted = np.array([[0, 0, 3]]), np.array([[0, 3, 3]])
    batch = {"labels": labels, "mask": np.array([True])}
    found = rnnjax.PerStep().finish(totals(rnnjax.PerStep(), np.eye(5)[predicted], batch))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels[0], predicted[0], average="macro"))


def test_counts_are_integers_of_32_bits_and_weighed_ones_floats():
    task = rnnjax.PerStep(tags=BIO)
    for batch, dtype in ((BATCH, np.int32), (BATCH | {"weights": WEIGHTS}, np.float32)):
        sums = task.sums(jnp.array(LOGITS), {name: jnp.array(part) for name, part in batch.items()}, train=False)
        assert {value.dtype for name, value in sums.items() if name != "loss"} == {np.dtype(dtype)}


def test_sums_of_parts_add_up_to_those_of_the_whole():
    task, batch = rnnjax.PerStep(tags=BIO), BATCH | {"weights": WEIGHTS}
    whole = totals(task, LOGITS, batch)
    parts = [
        totals(task, LOGITS[rows], {name: part[rows] for name, part in batch.items()})
        for rows in (slice(2), slice(2, None))
    ]
    for name, total in whole.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], total, rtol=1e-5)


def test_what_stands_in_padding_reaches_neither_sums_nor_gradients():
    task = rnnjax.PerStep(tags=BIO)
    spoilt = np.where(COUNTED[..., None], LOGITS, np.nan).astype(np.float32)
    junk = BATCH | {"labels": np.where(COUNTED | (LABELS < 0), LABELS, 3)}
    for train in (False, True):
        clean, ours = totals(task, LOGITS, BATCH, train), totals(task, spoilt, junk, train)
        longer = {"labels": np.pad(LABELS, ((0, 0), (0, 4)))}
        padded = totals(task, np.pad(LOGITS, ((0, 0), (0, 4), (0, 0))), BATCH | longer, train)
        for name in clean:
            np.testing.assert_allclose(ours[name], clean[name], rtol=1e-6)
            np.testing.assert_allclose(padded[name], clean[name], rtol=1e-6)
    gradient = jax.grad(lambda x: task.sums(x, {n: jnp.array(p) for n, p in junk.items()}, train=True)["loss"])(
        jnp.array(spoilt)
    )
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient)[~COUNTED] == 0).all()
    assert (np.asarray(gradient)[COUNTED] != 0).any(-1).all()


def test_nothing_is_a_score_of_no_steps():
    nothing = BATCH | {"mask": np.zeros(B, bool)}
    assert set(rnnjax.PerStep(tags=BIO).finish(totals(rnnjax.PerStep(tags=BIO), LOGITS, nothing)).values()) == {0.0}


# Spans, against conlleval's own functions, read from the Perl program case by case.


def _starts(before: str, tag: str, kind_before: str, kind: str) -> bool:
    pairs = {("B", "B"), ("I", "B"), ("O", "B"), ("E", "B"), ("S", "B")}
    pairs |= {("B", "S"), ("I", "S"), ("O", "S"), ("E", "S"), ("S", "S")}
    pairs |= {("O", "I"), ("E", "E"), ("E", "I"), ("O", "E"), ("S", "E"), ("S", "I")}
    return (before, tag) in pairs or (tag != "O" and kind != kind_before)


def _ends(before: str, tag: str, kind_before: str, kind: str) -> bool:
    pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("B", "S"), ("I", "S")}
    pairs |= {(left, right) for left in "ES" for right in "BIOES"}
    return (before, tag) in pairs or (before != "O" and kind != kind_before)


def plain_spans(names: list[str]) -> set[tuple[str, int, int]]:
    """Type, first and last step of each span of a row."""
    found, begun, before, kind_before = set(), 0, "O", ""
    for place, name in enumerate([*names, "O"]):
        prefix, _, kind = name.partition("-")
        tag = {"L": "E", "U": "S"}.get(prefix, prefix)
        kind = "" if tag == "O" else kind or "_"
        if _ends(before, tag, kind_before, kind):
            found.add((kind_before, begun, place - 1))
        if _starts(before, tag, kind_before, kind):
            begun = place
        before, kind_before = tag, kind
    return found


@functools.cache
def compiled(scheme: str) -> Any:
    return jax.jit(functools.partial(spans.counts, tags=SCHEMES[scheme]))


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_spans_are_those_of_a_plain_reading(scheme, data):
    """Of any tags whatever, whether they follow the scheme or not, and with steps between them that do not count."""
    tags = SCHEMES[scheme]
    number = st.integers(0, len(tags) - 1)
    labels = np.array(data.draw(st.lists(st.one_of(number, number, st.just(-1)), min_size=3 * 8, max_size=3 * 8)))
    changed = np.array(data.draw(st.lists(st.one_of(st.none(), st.none(), number), min_size=3 * 8, max_size=3 * 8)))
    labels = labels.reshape(3, 8).astype(np.int32)
    predicted = np.where(changed == None, np.maximum(labels.ravel(), 0), changed).astype(np.int32).reshape(3, 8)  # noqa: E711
    ours = compiled(scheme)(jnp.array(predicted), jnp.array(labels), weights=jnp.array([1, 2, 3]))
    kinds = spans.types_of(tags)
    expected = {name: np.zeros(len(kinds), int) for name in ours}
    for row in range(3):
        counted = labels[row] >= 0
        gold, found = (plain_spans([tags[n] for n in part[row][counted]]) for part in (labels, predicted))
        for name, of in (("gold", gold), ("predicted", found), ("correct", gold & found)):
            for kind, _, _ in of:
                expected[f"spans_{name}"][kinds.index(kind)] += row + 1
    for name, value in ours.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=f"{name} of {labels} and {predicted}")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("I-PER I-PER O I-LOC I-PER", {("PER", 0, 1), ("LOC", 3, 3), ("PER", 4, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 0), ("PER", 1, 2)}),
        ("B-a I-a E-a S-a I-a O E-a", {("a", 0, 2), ("a", 3, 3), ("a", 4, 4), ("a", 6, 6)}),
        ("O O", set()),
    ],
)
def test_the_plain_reading_is_that_of_the_examples(row, expected):
    assert plain_spans(row.split()) == expected


def test_scores_of_spans_are_those_of_seqevals_example():
    """``f1_score`` of its README: 0.50, of two true spans and two predicted ones."""
    names = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER")
    true = ["O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    predicted = ["O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    labels, found = (np.full((2, 7), -1), np.zeros((2, 7), int))
    for row in range(2):
        for place, (gold, guess) in enumerate(zip(true[row].split(), predicted[row].split(), strict=True)):
            labels[row, place], found[row, place] = names.index(gold), names.index(guess)
    task = rnnjax.PerStep(score="span-f1", tags=names)
    values = task.finish(totals(task, np.eye(5)[found], {"labels": labels, "mask": np.ones(2, bool)}))
    assert (values["span_f1"], values["span_precision"], values["span_recall"]) == (0.5, 0.5, 0.5)
    assert task.headline.name == "span_f1"


def test_names_are_tags_or_not():
    assert all(map(spans.are_tags, SCHEMES.values()))
    assert spans.types_of(BILOU) == ("x", "y-z")
    for names in ((), ("O",), ("O", "PER"), ("a", "b"), ("O", "B-"), ("O", "Z-PER")):
        assert not spans.are_tags(names)


# Data.

N = 40
SIZES = [2 + number % 4 for number in range(N)]
X = [RNG.integers(1, 9, size).astype(np.int32) for size in SIZES]
Y = [(row % 3).astype(np.int64) for row in X]
PADDED = np.zeros((N, 5), np.int32)
for place, row in zip(PADDED, X, strict=True):
    place[: len(row)] = row


class Tagger(nn.Module):
    """``[B, T]`` ids to ``[B, T, outputs]``."""

    outputs: int = 3
    pooled: bool = False

    @nn.compact
    def __call__(self, inputs, *, lengths=None, train=False):
        _, outputs = rnnjax.RNN(rnnjax.GRUCell(4))(nn.Embed(9, 4)(inputs), lengths=lengths)
        return nn.Dense(self.outputs)(outputs[:, 0] if self.pooled else outputs)


def experiment(x: Any = X, y: Any = Y, *, model: Any = None, task: Any = None, **options: Any) -> rnnjax.Experiment:
    section = rnnjax.Arrays(x, y, **{"batch_size": 8, "validation_fraction": 0.2} | options)
    task = rnnjax.PerStep() if task is None else task
    return rnnjax.Experiment(data=section, model=model or Tagger(), task=task, train=rnnjax.TrainConfig(epochs=2))


def program(*given: Any, **options: Any) -> Runner:
    made = experiment(*given, **options)
    return Runner(made, data.load(made.data), jax.devices()[:1])


def padded_labels(fill: int) -> np.ndarray:
    return np.where(np.arange(5) < np.array(SIZES)[:, None], PADDED % 3, fill)


@pytest.mark.parametrize(
    "given",
    [
        {"y": [row.tolist() for row in Y]},
        {"y": padded_labels(-1), "x": PADDED, "lengths": SIZES},
        {"y": padded_labels(0), "x": PADDED, "lengths": SIZES},
        {"y": padded_labels(-100), "x": PADDED, "lengths": SIZES},
        {"x": PADDED, "lengths": SIZES},
    ],
    ids=["lists", "padded with -1", "padded with 0", "padded with -100", "padded inputs"],
)
def test_the_same_labels_in_another_dress_are_the_same_data(given):
    made = data.load(experiment(**given).data)
    assert made.fingerprint == data.load(experiment().data).fingerprint
    assert made.train.timed == ("inputs", "labels")
    assert made.spec.names == ("0", "1", "2")
    stored = made.train
    assert stored.lengths is not None
    np.testing.assert_array_equal(stored["labels"] == -1, np.arange(5) >= stored.lengths[:, None])


def test_rows_of_one_length_have_labels_without_lengths():
    made = data.load(experiment(PADDED, PADDED % 3).data)
    assert made.train.lengths is None and made.train["labels"].shape == (32, 5)
    deep = data.load(experiment(np.ones((N, 5, 2)), list(PADDED % 3), test=(np.ones((4, 5, 2)), PADDED[:4] % 3)).data)
    assert deep.test is not None and deep.test["labels"].dtype == np.int32


def test_a_test_split_may_have_longer_rows_and_weighs_alike():
    test = ([np.ones(8, np.int32), np.ones(3, np.int32)], [[0] * 8, [1, -1, 2]])
    made = program(test=test, weights=np.arange(N))
    assert made.dataset.test is not None and made.dataset.test["labels"].shape == (2, 8)
    np.testing.assert_array_equal(made.dataset.test["weights"], np.ones(2))
    task: Any = made.task
    assert task.steps == 8
    _, _, kept = made.evaluate_keeping(made.create_state(0).variables(), "test")
    np.testing.assert_array_equal(kept["labels"], made.dataset.test["labels"])


def test_integers_of_columns_stay_what_they_are_to_other_tasks():
    """As many columns as steps: the task says what they are, and the data of a regression are those they were."""
    columns = PADDED * 7
    made = rnnjax.Arrays(np.ones((N, 5, 2)), columns, lengths=SIZES, validation_fraction=0.2)
    regression = rnnjax.Experiment(data=made, model=Tagger(), task=rnnjax.Regression())
    assert regression.data is made
    loaded = made.load()
    assert loaded.train.timed == ("inputs",) and loaded.train["targets"].shape == (32, 5)
    assert loaded.spec.outputs == 5 and loaded.spec.names == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"y": [*Y[:3], Y[3][:-1], *Y[4:]]}, "y[3] has 4 labels, but row 3 of inputs has 5 steps"),
    ({"y": [*Y[:1], np.r_[Y[1], 0, 0], *Y[2:]]}, "y[1] has 5 labels, but row 1 of inputs has 3 steps"),
    ({"y": Y[:-1]}, "inputs has 40 rows, but y has 39"),
    ({"y": [row.astype(float) for row in Y]}, "y[0] must hold integers, the number of a class at each step"),
    ({"y": [["a"] * len(row) for row in Y]}, "number = {name: n for n, name in enumerate(names)}"),
    ({"y": [row[:, None] for row in Y]}, "y[0] must be a row of labels, an integer a step, got [2, 1]"),
    ({"y": PADDED[:, 0]}, "y must be labels [N, T], an integer a step, got [40]"),
    ({"y": None}, "y must be labels [N, T], an integer a step, got []"),
    ({"x": PADDED, "y": PADDED[:, :4] % 3}, "y[0] has 4 labels, but row 0 of inputs has 5 steps"),
    ({"x": PADDED[:, 0], "y": PADDED % 3}, "labels of steps need inputs [N, T, ...]"),
    ({"x": PADDED, "y": PADDED % 3, "lengths": [4] * N}, "has labels after its 4 steps; padding holds one value"),
    ({"x": PADDED, "y": PADDED % 3, "lengths": [4.0] * N}, "lengths must be integers"),
    ({"names": ("a", "b")}, "classes 0..1, and -1 for a step without a label"),
    ({"y": [Y[0] - 5, *Y[1:]]}, "label -"),
    ({"y": [0 * row for row in Y]}, "one class only; a tagger needs two"),
    ({"y": [0 * row - 1 for row in Y]}, "no step of train has a label"),
    ({"test": (X[:2], [0 * row - 1 for row in Y[:2]])}, "no step of test has a label"),
    ({"test": (X[:3], [Y[0], Y[2], Y[2]])}, "y[1] has 4 labels, but row 1 of inputs has 3 steps"),
    ({"task": rnnjax.PerStep(score="span-f1")}, "names are tags, such as O, B-PER and I-PER; they are 0, 1, 2"),
    (
        {"model": Tagger(pooled=True)},
        "logits [1, 3] and labels [1, 5] do not fit; they must be [B, T, C]",
    ),
    ({"model": Tagger(4)}, "needs 3 outputs a row"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_does_not_belong_together_is_refused_by_a_sentence(given, said, monkeypatch):
    monkeypatch.setattr(jax, "pmap", lambda *_, **__: pytest.fail("compiled"))
    with pytest.raises((rnnjax.UsageError, rnnjax.DataError), match=re.escape(said)) as refused:
        program(**given)
    assert "\n" not in str(refused.value)


def own(labels: Any, lengths: Any, timed: Any = ("inputs", "labels")) -> Dataset:
    split = Examples({"inputs": PADDED[: len(labels)], "labels": labels}, lengths, timed)
    return Dataset("mine", split, split, None, Preprocess(), SPEC)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (own(PADDED % 3, np.full(N, 4)), "mine: example 0 in train has a label at step 4, but 4 steps"),
        (own(PADDED % 3, np.full(N, 5), ("inputs",)), "must be among the timed arrays of train"),
        (own(np.zeros((N, 7), int), np.full(N, 5)), "inputs of train has 5 steps, but labels 7"),
        (own(np.zeros(N, int), None, ()), "labels of steps must be integers [N, T], got int64 [40]"),
        (own(PADDED / 3, None, ()), "labels of steps must be integers [N, T], got float64 [40, 5]"),
    ],
)
def test_a_source_of_ones_own_is_told_what_its_labels_must_be(dataset, said):
    with pytest.raises(rnnjax.DataError, match=re.escape(said)):
        rnnjax.PerStep().check_data(dataset)


def test_a_score_that_is_none_is_refused():
    with pytest.raises(rnnjax.UsageError, match="score must be one of accuracy, macro-f1, span-f1, got 'f1'"):
        rnnjax.PerStep(score="f1")  # pyright: ignore[reportArgumentType]


# The whole road.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Of two padded lengths, on all devices, by F1 of spans."""
    made = experiment(
        names=("O", "B-x", "I-x"), buckets=(3, 5), task=rnnjax.PerStep(score="span-f1"), test=(X, Y), weights=np.ones(N)
    )
    return made, rnnjax.fit(made, workdir=tmp_path_factory.mktemp("tags") / "run")


def test_metrics_and_report_of_a_run_are_those_of_its_own_answers(trained):
    made, result = trained
    answers = result.predictor(X)
    assert [len(row) for row in answers] == SIZES
    names = made.data.names
    gold = [[names[label] for label in row] for row in Y]
    found = result.metrics["test"]
    flat = [[tag for row in rows for tag in row] for rows in (gold, answers)]
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(*flat))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(*flat, average="macro"))
    true, guessed = (
        {(n, *span) for n, row in enumerate(rows) for span in plain_spans(row)} for rows in (gold, answers)
    )
    assert result.headline == found["span_f1"] == pytest.approx(2 * len(true & guessed) / (len(true) + len(guessed)))
    page = json.loads((result.workdir / "report-test.json").read_text())
    assert page["steps"] == sum(SIZES)
    np.testing.assert_array_equal(page["confusion"], metrics.confusion_matrix(*flat, labels=names))
    assert page["spans"]["types"][0]["support"] == len(true)


def test_a_row_is_answered_alike_in_any_company(trained):
    _, result = trained
    answers = result.predictor(X[:4])
    padded = np.where(np.arange(5) < np.array(SIZES[:4])[:, None], PADDED[:4], 8)
    assert result.predictor(padded, lengths=SIZES[:4]) == answers
    assert [result.predictor([row])[0] for row in X[:4]] == answers
    assert result.predictor([X[0], X[0][:0]])[1] == []
    rows = result.predictor.rows(X[:4])
    assert [row["labels"] for row in rows] == answers
    assert result.predictor.task.line(rows[0]) == " ".join(answers[0])
    assert all(1 / 3 <= p <= 1 for row in rows for p in row["probabilities"])


def test_it_is_loaded_with_what_it_was_chosen_by_and_another_score_is_another_run(trained):
    made, result = trained
    loaded = rnnjax.load(result.workdir, experiment=made)
    assert loaded(X) == result.predictor(X)
    task: Any = loaded.task
    assert (task.headline.name, task.tags) == ("span_f1", ("O", "B-x", "I-x"))
    other = experiment(
        names=("O", "B-x", "I-x"), buckets=(3, 5), task=rnnjax.PerStep(), test=(X, Y), weights=np.ones(N)
    )
    with pytest.raises(rnnjax.UsageError, match=r"score.*accuracy.*span-f1"):
        rnnjax.fit(other, workdir=result.workdir)
