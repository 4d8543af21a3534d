"""What asks for a platform while it is traced hears of the one that it is traced for, not of the one that traces."""

import jax
import jax.numpy as jnp
import pytest

from rnnjax import RNN, LSTMCell
from rnnjax.cells import LRUCell
from rnnjax.layers import target
from rnnjax.layers.fused import projection
from rnnjax.layers.implementations import reporting
from rnnjax.training.parallel import DataParallel


def taken(cell, platform):
    """What ``auto`` takes there."""
    with target.tracing_for(platform), reporting() as ran:
        jax.eval_shape(lambda: RNN(cell).init(jax.random.key(0), jnp.zeros((2, 5, 3))))
    return ran[""]


@pytest.mark.parametrize(("platform", "linear"), [("cpu", "scan"), ("gpu", "associative"), ("tpu", "associative")])
def test_auto_chooses_for_the_platform_that_is_traced_for(platform, linear):
    assert taken(LRUCell(4), platform) == linear
    assert taken(LSTMCell(4), platform) == "fused"


def test_by_default_it_is_where_jax_runs():
    assert target.platform() == jax.default_backend()
    with target.tracing_for("tpu"):
        assert target.platform() == "tpu"
        with target.tracing_for("gpu"):
            assert target.platform() == "gpu"
        assert target.platform() == "tpu"
    assert target.platform() == jax.default_backend()


def test_what_was_traced_for_one_platform_is_not_taken_for_another():
    asked = []

    @jax.jit
    def function(x):
        asked.append(target.platform())
        return x

    for platform in ("cpu", "tpu", "tpu", "cpu"):
        with target.tracing_for(platform):
            function.lower(jnp.ones(3))
    assert asked == ["cpu", "tpu"]


def test_a_chunked_projection_is_a_cpus_own():
    with target.tracing_for("tpu"):
        assert projection._chunk(1000, 4) is None
    with target.tracing_for("cpu"):
        assert projection._chunk(1000, 4) is not None


def test_a_step_is_traced_for_the_devices_that_it_is_spread_over(monkeypatch):
    """With a GPU there, devices of the CPU may be asked for, and the other way round."""
    asked, parallel = [], DataParallel(jax.devices()[:2])
    monkeypatch.setattr(DataParallel, "platform", "tpu")
    spread = parallel.spread(lambda x: (asked.append(target.platform()), x)[1], (0,), 0)
    spread.lower(jnp.ones((2, 3)))
    assert set(asked) == {"tpu"}
