"""Language models on data of one's own: what would count, or be read, as something else is refused."""

import jax
import numpy as np
import pytest

from rnnjax import DataConfig, Dataset, Examples, Experiment, LanguageModel, NextToken, Shape, Spec, Streams
from rnnjax.errors import DataError, UsageError
from rnnjax.runs.announce import _padding
from rnnjax.training.runner import Runner

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
