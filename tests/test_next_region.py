"""The next tokens as a bag: losses are those of plain loops over steps and targets, sampled and over all."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import DataConfig, Dataset, Examples, Experiment, LanguageModel, NextRegion, NextToken, Shape, Spec, Streams
from rnnjax.errors import DataError, UsageError
from rnnjax.models.sampled import region_losses, sample, sampled_losses
from rnnjax.training.runner import Runner

ROWS, STEPS, FEATURES, VOCABULARY, COUNT = 2, 7, 5, 30, 12
KEY = jax.random.key(11)


def made(scale=1.0):
    """Outputs, a table, a bias and targets of which some are frequent, some were drawn often, and some not at all."""
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(ROWS, STEPS, FEATURES)) * scale
    table, bias = rng.normal(size=(VOCABULARY, FEATURES)), -np.log(np.arange(VOCABULARY) + 1.0)
    targets = rng.integers(1, VOCABULARY, (ROWS, STEPS))
    targets[0, 3] = targets[0, -1] = -1
    return outputs.astype(np.float32), table.astype(np.float32), bias.astype(np.float32), targets.astype(np.int32)


def region(targets, row, step, ahead, least):
    """The places of the targets that a step predicts, from the definition."""
    return [u for u in range(step, min(step + ahead, STEPS)) if targets[row, u] >= least]


def mask(targets, ahead, least):
    found = np.zeros((ROWS, STEPS, STEPS), bool)
    for row in range(ROWS):
        for step in range(STEPS):
            found[row, step, region(targets, row, step, ahead, least)] = True
    return found


def looped(outputs, table, bias, targets, ahead, least, ids, stands_for):
    """The mean cross-entropy ``[B, T]`` of each region, in float64; each target among itself and others of ``ids``."""
    outputs, table, bias = (np.asarray(array, np.float64) for array in (outputs, table, bias))
    losses = np.zeros((ROWS, STEPS))
    for row in range(ROWS):
        for step in range(STEPS):
            every = table @ outputs[row, step] + bias
            each = []
            for u in region(targets, row, step, ahead, least):
                word = targets[row, u]
                others = np.exp(every[ids] + stands_for)[ids != word].sum()
                each.append(np.log(others + np.exp(every[word])) - every[word])
            losses[row, step] = np.mean(each) if each else 0
    return losses


@pytest.mark.parametrize("scale", [1.0, 12.0])
@pytest.mark.parametrize(("ahead", "least"), [(1, 1), (3, 1), (20, 6)])
def test_sampled_losses_are_those_of_a_loop_over_steps_and_targets(ahead, least, scale):
    outputs, table, bias, targets = made(scale)
    ids, stands_for = map(np.asarray, sample(KEY, VOCABULARY, COUNT))
    times = (ids[:, None] == np.unique(targets)).sum(0)
    assert {0, 1, 2} <= set(times), "targets that are not in the sample, once and twice"
    regions = mask(targets, ahead, least)
    losses = region_losses(KEY, outputs, table, bias, np.maximum(targets, 0), regions, COUNT)
    wanted = looped(outputs, table, bias, targets, ahead, least, ids, stands_for)
    np.testing.assert_allclose(losses, wanted, rtol=1e-4, atol=2e-5)
    assert (np.asarray(losses)[~regions.any(-1)] == 0).all()


def test_gradients_are_those_of_each_target_by_itself_and_the_slopes_of_the_loss():
    outputs, table, bias, targets = made()
    regions, real = mask(targets, 3, 4), np.maximum(targets, 0)

    def together(outputs, table, bias):
        return region_losses(KEY, outputs, table, bias, real, regions, COUNT).sum()

    def each(outputs, table, bias):
        losses = [  # of the target at one place, at every step
            sampled_losses(KEY, outputs, table, bias, jnp.broadcast_to(real[:, u : u + 1], real.shape), COUNT)
            for u in range(STEPS)
        ]
        summed = jnp.where(regions, jnp.stack(losses, -1), 0).sum(-1)
        return (summed / jnp.maximum(regions.sum(-1), 1)).sum()

    given = tuple(map(jnp.asarray, (outputs, table, bias)))
    ours, theirs = (jax.grad(of, argnums=(0, 1, 2))(*given) for of in (together, each))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)

    rng, ids = np.random.default_rng(1), tuple(map(np.asarray, sample(KEY, VOCABULARY, COUNT)))
    directions = [rng.normal(size=array.shape) for array in given]

    def along(step):
        moved = [np.asarray(array, np.float64) + step * way for array, way in zip(given, directions, strict=True)]
        return looped(*moved, targets, 3, 4, *ids).sum()

    slope = sum(float((np.asarray(leaf) * way).sum()) for leaf, way in zip(ours, directions, strict=True))
    assert slope == pytest.approx((along(1e-5) - along(-1e-5)) / 2e-5, rel=1e-4)


def test_gradients_are_finite_where_logits_are_large_and_nothing_counts():
    outputs, table, bias, targets = made(300.0)
    for regions in (mask(targets, 3, 4), np.zeros((ROWS, STEPS, STEPS), bool)):
        gradients = jax.grad(
            lambda outputs, table, regions=regions: region_losses(
                KEY, outputs, table, bias, np.maximum(targets, 0), regions, COUNT
            ).sum(),
            (0, 1),
        )
        assert all(np.isfinite(leaf).all() for leaf in gradients(outputs, table))


@pytest.mark.parametrize(("ahead", "without"), [(1, 0), (3, 0), (20, 5)])
def test_sums_over_the_vocabulary_are_those_of_a_loop(ahead, without):
    outputs, table, bias, targets = made()
    logits = outputs @ table.T + bias
    batch = {"targets": targets, "mask": np.array([True, True])}
    task = NextRegion(ahead=ahead, without_most_frequent=without)
    sums = task.sums(logits, batch, train=False)
    least, ids = 1 + without, np.arange(VOCABULARY)
    wanted = looped(outputs, table, bias, targets, ahead, least, ids, np.zeros(VOCABULARY))
    steps = mask(targets, ahead, least).any(-1)
    assert 0 < steps.sum() < steps.size
    np.testing.assert_allclose(sums["loss"], wanted.sum(), rtol=1e-5)
    assert sums["weight"] == steps.sum()
    assert task.finish(sums)["loss"] == pytest.approx(wanted.sum() / steps.sum(), rel=1e-5)
    kept = task.keep(logits, batch)
    np.testing.assert_allclose(kept["loss"], wanted.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(kept["weight"], steps.sum(1))
    # A row that is padding counts in nothing, whatever stands in it.
    logits[1] = np.nan
    first = task.sums(logits, batch | {"mask": np.array([True, False])}, train=True)
    np.testing.assert_allclose(first["loss"], wanted[0].sum(), rtol=1e-5)
    assert first["weight"] == steps[0].sum()


def model_of(tied):
    return rnnjax.RecurrentLM(30, 4, rnnjax.Carried(rnnjax.StackedRNN([rnnjax.RNN(rnnjax.LSTMCell(4))])), tied=tied)


@pytest.mark.parametrize("tied", [True, False])
def test_a_region_of_one_token_is_the_next_token(tied):
    model, targets = model_of(tied), made()[3]
    inputs = jnp.asarray(np.roll(np.maximum(targets, 1), 1))
    variables = model.init(jax.random.key(0), inputs)
    batch = {"targets": targets, "mask": np.array([True, True])}

    def apply(batch, **asked):
        asked |= {"train": True, "rngs": {"dropout": KEY}, "mutable": ["carry"]}
        return model.apply(variables, inputs, **asked)[0]

    for sampled in (0, COUNT):
        one = NextRegion(ahead=1, without_most_frequent=0, sampled_tokens=sampled).objective(apply, batch)
        next_token = NextToken(sampled_tokens=sampled).objective(apply, batch)
        assert one["weight"] == next_token["weight"]
        np.testing.assert_allclose(one["loss"], next_token["loss"], rtol=1e-5)


def shapes_within(jaxpr):
    """The shapes of all that a program computes, in its loops too."""
    for equation in jaxpr.eqns:
        yield from (var.aval.shape for var in equation.outvars)
        for part in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from shapes_within(inner)


def test_a_sampled_step_makes_no_array_of_all_logits_or_of_a_sample_for_each_target():
    model, ahead, sampled = model_of(tied=True), 3, 11
    inputs = jnp.ones((2, 7), jnp.int32)
    variables = model.init(jax.random.key(0), inputs)
    task = NextRegion(ahead=ahead, without_most_frequent=0, sampled_tokens=sampled)

    def loss(params):
        def apply(batch, **asked):
            return model.apply({"params": params}, inputs, train=True, rngs={"dropout": KEY}, **asked)

        return task.objective(apply, {"targets": inputs, "mask": jnp.ones(2, bool)})["loss"]

    shapes = set(shapes_within(jax.make_jaxpr(jax.grad(loss))(variables["params"]).jaxpr))
    assert (2, 7, sampled) in shapes and (2, 7, 7) in shapes
    assert max(np.prod(shape) for shape in shapes) <= 2 * 7 * 4 * 4 * 4
    assert not [shape for shape in shapes if len(shape) > 2 and 30 in shape]
    assert not [shape for shape in shapes if {ahead, sampled} <= set(shape)]


def topics(path):
    """A text that is of one of two topics for forty words, each topic of ten words that are drawn for themselves."""
    rng = np.random.default_rng(0)
    words = [f"{'ab'[topic]}{word}" for topic in rng.integers(0, 2, 300) for word in rng.integers(0, 10, 40)]
    path.write_text(" ".join(words))


@pytest.mark.slow
def test_a_run_learns_what_a_text_is_about_and_keeps_what_a_region_is(tmp_path, capsys):
    topics(tmp_path / "text.txt")
    experiment = Experiment(
        name="regions",
        data=rnnjax.CorpusData(path=str(tmp_path / "text.txt"), tokenizer="words", window=20, batch_size=8),
        model=LanguageModel(features=(8,), embedding_features=8, tied=True),
        task=NextRegion(ahead=5, without_most_frequent=1),
        optim=rnnjax.OptimConfig(learning_rate=3e-2, sampled_tokens=10),
        train=rnnjax.TrainConfig(epochs=6, steps_per_call=16),
    )
    root = tmp_path / "regions" / "seed-0"
    assert rnnjax.main(experiment, ["--runs-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    result = json.loads((root / "result.json").read_text())
    # Who knows the topic needs ln 10 nats, but near its end; who knows the words' frequencies alone ln 20.
    assert np.log(10) < result["metrics"]["test"]["loss"] < (np.log(10) + np.log(20)) / 2
    loaded = rnnjax.load(root)
    assert (loaded.task.ahead, loaded.task.without_most_frequent) == (5, 1), "without the experiment"
    assert not loaded.task.generates
    (tmp_path / "other.txt").write_text(" ".join(f"{'ab'[n // 60]}{n * n % 10}" for n in range(120)))
    capsys.readouterr()
    assert rnnjax.main(experiment, ["evaluate", str(tmp_path / "other.txt"), "--workdir", str(root)]) == 0
    found = json.loads(capsys.readouterr().out)
    # In one stream, as if it were one window but for the regions, which end with theirs.
    examples = loaded.preprocess.labelled(tmp_path / "other.txt")
    targets = jnp.asarray(examples["targets"])
    read, _ = loaded.model.apply(loaded.variables, jnp.asarray(examples["inputs"]).reshape(1, -1), mutable=["carry"])
    logits = read.reshape(*targets.shape, -1)
    sums = loaded.task.sums(logits, {"targets": targets, "mask": jnp.ones(len(targets), bool)}, train=False)
    assert found["loss"] == pytest.approx(float(sums["loss"] / sums["weight"]), rel=1e-4)
    assert (found["streams"], found["unknown"]) == (1, 0)
    assert "evaluate --workdir" in said
    assert "predict" not in said
    for asked in (["--prompt", "a1"], ["some.txt"]):
        assert rnnjax.main(experiment, ["predict", *asked, "--workdir", str(root)]) == 2
        assert "has no answers of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ahead": 0}, "ahead must be 1 or more tokens, got 0"),
        ({"without_most_frequent": -1}, "without_most_frequent must be 0 or more tokens, got -1"),
    ],
)
def test_a_region_that_is_none_is_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        NextRegion(**fields)


def test_data_and_options_that_do_not_fit_are_refused():
    ids = np.random.default_rng(0).integers(1, 9, (12, 5)).astype(np.int32)
    examples = Examples({"inputs": ids, "targets": ids})
    spec = Spec({"inputs": Shape.of(ids[:1])}, outputs=9, vocabulary=9)
    dataset = Dataset("own", examples, examples, None, given=spec, plan=Streams())

    def runner(task, **optim):
        data, model = DataConfig(name="own", batch_size=4), LanguageModel(features=(3,), embedding_features=2)
        experiment = Experiment(data=data, model=model, task=task, optim=rnnjax.OptimConfig(**optim))
        return Runner(experiment, dataset, jax.devices()[:1])

    with pytest.raises(DataError, match="own: all targets of train are among the 8 most frequent tokens"):
        runner(NextRegion(without_most_frequent=8))
    with pytest.raises(UsageError, match="NextRegion predicts several, leave it out"):
        runner(NextRegion(without_most_frequent=2), label_smoothing=0.1)
