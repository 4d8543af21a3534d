"""Cases computed by PyTorch and Keras, for comparing our layers with them.

A case is a :class:`Case` (what layer, what shapes) and a dict of arrays: weights, inputs, lengths,
initial carry, the cotangents of outputs and carry, and what the framework makes of them: outputs,
final carry, and the gradients of ``sum(outputs * d_outputs) + sum(carry * d_carry)`` by weights,
inputs and initial carry. ``test_parity.py`` runs them live and from ``vectors/*.npz``, which
``make_vectors.py`` writes.
"""

import dataclasses
import os

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported


@dataclasses.dataclass(frozen=True)
class Case:
    """One layer and one batch; ``lengths`` None means that every row is full."""

    kind: str
    layers: int = 1
    bidirectional: bool = False
    lengths: tuple[int, ...] | None = None
    steps: int = 5
    batch: int = 3
    inputs: int = 3
    features: int = 4
    projection: int = 0
    bias: bool = True
    relu: bool = False
    reset_after: bool = True
    merge: str = "concat"

    @property
    def name(self) -> str:
        parts = [self.kind, f"{self.layers}x{2 if self.bidirectional else 1}", f"B{self.batch}T{self.steps}"]
        parts += [f"D{self.inputs}H{self.features}", f"P{self.projection}" if self.projection else ""]
        parts += ["lengths" if self.lengths else "", "" if self.bias else "nobias", "relu" if self.relu else ""]
        parts += ["" if self.reset_after else "before", "" if self.merge == "concat" else self.merge]
        return "-".join(part for part in parts if part)


STORED_TORCH = [
    Case("rnn"),
    Case("rnn", bidirectional=True, bias=False, relu=True, lengths=(5, 2, 1)),
    Case("lstm"),
    Case("lstm", layers=2, bidirectional=True, lengths=(3, 5, 1)),
    Case("lstm", layers=2, projection=2, lengths=(3, 5, 1)),
    Case("gru"),
    Case("gru", layers=2, bidirectional=True, lengths=(4, 1, 5)),
]
LIVE_TORCH = [
    Case("rnn", layers=3, batch=1, steps=1, features=2),
    Case("rnn", layers=2, bidirectional=True, lengths=(1, 7), batch=2, steps=7),
    Case("lstm", layers=2, bias=False, steps=9, features=7),
    Case("lstm", bidirectional=True, projection=3, layers=2, batch=2, lengths=(6, 4), steps=6),
    Case("lstm", batch=2, steps=40, inputs=8, features=16, lengths=(40, 17)),
    Case("gru", layers=2, bias=False, steps=2, inputs=1),
    Case("gru", bidirectional=True, batch=1, steps=8, inputs=6, features=5),
    Case("gru", batch=2, steps=40, inputs=8, features=16, lengths=(23, 40)),
]
STORED_KERAS = [
    Case("rnn", lengths=(5, 0, 2)),
    Case("lstm", lengths=(3, 5, 0)),
    Case("lstm", bidirectional=True, lengths=(3, 5, 1)),
    Case("gru", lengths=(2, 0, 5)),
    Case("gru", reset_after=False, lengths=(4, 1, 5)),
    Case("gru", bidirectional=True, lengths=(4, 1, 5), merge="mul"),
]
LIVE_KERAS = [
    Case("rnn", relu=True, bias=False),
    Case("rnn", bidirectional=True, merge="mean", lengths=(1, 4, 5)),
    Case("lstm", bias=False, steps=9, inputs=5, features=7),
    Case("lstm", bidirectional=True, merge="sum", steps=2),
    Case("gru", bias=False, steps=3),
    Case("gru", bidirectional=True, reset_after=False, lengths=(5, 3, 2)),
]


def _draw(case: Case, dtype: type) -> dict[str, np.ndarray]:
    """Inputs, initial carry and cotangents in PyTorch's layout (carry ``[L, B, H]``)."""
    random = np.random.default_rng(0)
    directions = 2 if case.bidirectional else 1
    width = (case.projection or case.features) * (directions if case.merge == "concat" else 1)
    shapes = {
        "inputs": (case.batch, case.steps, case.inputs),
        "h": (case.layers * directions, case.batch, case.projection or case.features),
        "d_outputs": (case.batch, case.steps, width),
    }
    if case.kind == "lstm":
        shapes["c"] = (case.layers * directions, case.batch, case.features)
    shapes |= {f"d_{name}": shapes[name] for name in ("h", "c") if name in shapes}
    return {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def torch_case(case: Case) -> dict[str, np.ndarray]:
    """What ``torch.nn.{RNN, LSTM, GRU}`` make of the case, in float64."""
    import torch

    torch.manual_seed(0)
    drawn = {name: torch.as_tensor(value) for name, value in _draw(case, np.float64).items()}
    layer = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case.kind]
    options = {"nonlinearity": "relu"} if case.relu else {}
    options |= {"proj_size": case.projection} if case.projection else {}
    module = layer(
        case.inputs,
        case.features,
        num_layers=case.layers,
        bidirectional=case.bidirectional,
        bias=case.bias,
        batch_first=True,
        dtype=torch.float64,
        **options,
    )
    names = [name for name in ("h", "c") if name in drawn]
    leaves = [drawn[name].requires_grad_() for name in ("inputs", *names)]
    sequence = leaves[0]
    if case.lengths:
        sequence = torch.nn.utils.rnn.pack_padded_sequence(
            sequence, torch.tensor(case.lengths), batch_first=True, enforce_sorted=False
        )
    outputs, last = module(sequence, tuple(leaves[1:]) if case.kind == "lstm" else leaves[1])
    if case.lengths:
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=case.steps)
    last = dict(zip(names, last if case.kind == "lstm" else (last,), strict=True))
    loss = (outputs * drawn["d_outputs"]).sum() + sum((last[name] * drawn[f"d_{name}"]).sum() for name in names)
    loss.backward()
    arrays = drawn | {"outputs": outputs} | {f"last_{name}": value for name, value in last.items()}
    arrays |= {f"grad_{name}": leaf.grad for name, leaf in zip(("inputs", *names), leaves, strict=True)}
    arrays |= {f"weight.{name}": value for name, value in module.named_parameters()}
    arrays |= {f"grad_weight.{name}": value.grad for name, value in module.named_parameters()}
    return {name: value.detach().numpy() for name, value in arrays.items()}


def keras_case(case: Case) -> dict[str, np.ndarray]:
    """What Keras' SimpleRNN, LSTM, GRU and Bidirectional (on JAX) make of the case, in float32."""
    import jax
    import keras

    keras.utils.set_random_seed(0)
    drawn = _draw(case, np.float32)
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[case.kind]
    options = {"activation": "relu"} if case.relu else {}
    options |= {"reset_after": case.reset_after} if case.kind == "gru" else {}
    layer = layer(
        case.features,
        return_sequences=True,
        return_state=True,
        use_bias=case.bias,
        bias_initializer="glorot_uniform",
        zero_output_for_mask=True,
        **options,
    )
    if case.bidirectional:
        merge = {"sum": "sum", "mul": "mul", "mean": "ave", "concat": "concat"}[case.merge]
        layer = keras.layers.Bidirectional(layer, merge_mode=merge)
    layer.build(drawn["inputs"].shape)
    names = [name for name in ("h", "c") if name in drawn]
    mask = None if case.lengths is None else np.arange(case.steps) < np.array(case.lengths)[:, None]

    def loss(weights, inputs, carry):
        # Keras' list of states: h and c of one direction, then of the other.
        states = [carry[name][row] for row in range(len(carry["h"])) for name in names]
        called, _ = layer.stateless_call(weights, [v.value for v in fixed], inputs, mask=mask, initial_state=states)
        outputs, last = called[0], called[1:]
        last = {name: jax.numpy.stack(last[at :: len(names)]) for at, name in enumerate(names)}
        total = (outputs * drawn["d_outputs"]).sum() + sum((last[name] * drawn[f"d_{name}"]).sum() for name in names)
        return total, (outputs, last)

    fixed = layer.non_trainable_variables
    weights = [variable.value for variable in layer.trainable_variables]
    given = (weights, drawn["inputs"], {name: drawn[name] for name in names})
    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    (_, (outputs, last)), (grads, grad_inputs, grad_carry) = gradient(*given)
    arrays = drawn | {"outputs": outputs, "grad_inputs": grad_inputs}
    arrays |= {f"last_{name}": value for name, value in last.items()}
    arrays |= {f"grad_{name}": value for name, value in grad_carry.items()}
    arrays |= {f"weight.{place}": value for place, value in enumerate(weights)}
    arrays |= {f"grad_weight.{place}": value for place, value in enumerate(grads)}
    return {name: np.asarray(value) for name, value in arrays.items()}
