"""Language models on data of one's own: what would count, or be read, as something else is refused."""

import jax
import numpy as np
import pytest

from experiments import load
from rnnjax import DataConfig, Dataset, Examples, Experiment, LanguageModel, NextToken, Shape, Spec, Streams
from rnnjax.errors import DataError, UsageError
from rnnjax.layers.gated import GatedLinear
from rnnjax.runs.announce import _padding
from rnnjax.training.runner import Runner
from tests.marks import LONG

IDS = np.random.default_rng(0).integers(0, 9, (12, 5)).astype(np.int32)


def made(inputs=IDS, targets=IDS, vocabulary=9, lengths=None):
    arrays = {"inputs": inputs.astype(np.int32), "targets": targets.astype(np.int32)}
    examples = Examples(arrays, lengths, () if lengths is None else ("inputs", "targets"))
    spec = Spec({"inputs": Shape.of(inputs[:1])}, outputs=9, vocabulary=vocabulary)
    dataset = Dataset("own", examples, examples, None, given=spec, plan=Streams())
    model = LanguageModel(features=(3,), embedding_features=2)
    experiment = Experiment(data=DataConfig(name="own", batch_size=4), model=model, task=NextToken())
    return Runner(experiment, dataset, jax.devices()[:1])


@pytest.mark.parametrize(("outside", "range_"), [(-1, "-1.."), (9, "..9")])
def test_token_ids_that_an_embedding_has_no_row_for_are_refused(outside, range_):
    """-1 is NumPy's last row, and JAX's: a wrong word that nothing tells from the right one."""
    ids = IDS.copy()
    ids[7, 2] = outside
    with pytest.raises(DataError, match=r"own: token ids must lie in 0\.\.8, those of example 7 in train") as refused:
        made(ids)
    assert range_ in str(refused.value)


def test_a_model_that_reads_other_tokens_than_it_predicts_is_refused():
    with pytest.raises(UsageError, match="predicts the tokens that it reads; these data have 12 token ids, but 9"):
        made(vocabulary=12)


def test_targets_after_a_rows_end_are_refused():
    lengths = np.full(12, 5, np.int32)
    lengths[4] = 2
    targets = np.where(np.arange(5) < lengths[:, None], IDS, 0)
    with pytest.raises(DataError, match=r"own: train has a target after the 2 steps of example 4.* write -1"):
        made(targets=targets, lengths=lengths)
    program = made(targets=np.where(np.arange(5) < lengths[:, None], IDS, -1), lengths=lengths)
    assert program.steps_per_epoch == 3
    assert _padding(program, 0) == "", "streams are not cut to lengths, and nothing is said of any"


def test_the_recurrences_that_are_plotted_against_time_have_equally_many_parameters():
    experiment = load("shakespeare_chars")
    spec = Spec({"inputs": Shape((1, 8), np.dtype(np.int32))}, 67, 67, tuple(map(str, range(67))))

    def parameters(one):
        model = one.model.build(spec, 67)
        made = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 8), np.int32)))
        return sum(leaf.size for leaf in jax.tree.leaves(made["params"]))

    wanted = parameters(experiment)
    for name in experiment.variants:
        assert abs(parameters(experiment.variant(name)) / wanted - 1) < 0.01, name


def test_a_gated_linear_layer_is_that_of_torch():
    torch = pytest.importorskip("torch")
    inputs = np.random.default_rng(1).normal(size=(2, 5, 4)).astype(np.float32)
    made, params = GatedLinear(3).init_with_output(jax.random.key(0), inputs)
    dense = {name: torch.tensor(np.asarray(value)) for name, value in params["params"]["dense"].items()}
    theirs = torch.nn.functional.glu(torch.tensor(inputs) @ dense["kernel"] + dense["bias"])
    np.testing.assert_allclose(made, theirs.numpy(), atol=1e-6)
    with pytest.raises(UsageError, match="features must be positive"):
        GatedLinear(0)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["min_gru", pytest.param("lru", marks=LONG)])
def test_blocks_read_window_by_window_and_step_by_step_what_they_read_at_once(cell):
    spec = Spec({"inputs": Shape((2, 6), np.dtype(np.int32))}, 9, 9, tuple("abcdefghi"))
    model = LanguageModel(cell=cell, features=(4, 4), embedding_features=3, blocks=True).build(spec, 9)
    ids = IDS[:2, :5] % 9
    params = {"params": model.init(jax.random.key(0), ids)["params"]}
    whole = model.apply(params, ids)
    first, state = model.apply(params, ids[:, :3], mutable=["carry"])
    second = model.apply(params | state, ids[:, 3:])
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, atol=1e-5)
    state = {}
    for step in range(5):
        one, state = model.apply(params | state, ids[:, step : step + 1], mutable=["carry"])
        np.testing.assert_allclose(one[:, 0], whole[:, step], atol=1e-5)
