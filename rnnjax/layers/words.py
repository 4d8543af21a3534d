"""The words of PyTorch, Keras and Flax for what layers are given, and the ones that are ours."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

from rnnjax.errors import UsageError

_WIDTH = "the cell has the width, as in RNN(LSTMCell(64))"
_PAIR = "a layer always returns the pair: carry, outputs = layer(inputs)"
_BATCH_FIRST = "inputs are always [..., T, D], batch first; elsewhere inputs.swapaxes(0, 1)"
_FIRST = "give the call initial_carry=; an LSTM's is (c, h)"
_LENGTHS = "give the call lengths="
_MASK = "give the call mask=, True at real steps"
_TRAIN = "give the call train="
_ORDER = "outputs of reverse=True stay in the order of the inputs"
_CELL = "it is a matter of the cell"
_VARIABLES = "a cell names its collections in `carried` and `stacked`, and parameters are shared by all steps"
_RESETS = "give the call resets=, True at each sequence's first step; rnnjax.pack makes them of lengths"
_BIAS = "the bias is always there, zero at first; freeze it where it has to stay so"

OURS = {
    **dict.fromkeys(("hidden_size", "units", "num_units", "hidden_dim", "cell_size", "features"), _WIDTH),
    **dict.fromkeys(("input_size", "input_shape", "input_dim"), "the width D is read off the inputs"),
    **dict.fromkeys(("return_carry", "return_state", "return_states"), _PAIR),
    "return_sequences": "outputs are of all steps; of the last, take the carry, or rnnjax.pool(outputs, mask, 'last')",
    **dict.fromkeys(("batch_first", "time_major", "time_axis"), _BATCH_FIRST),
    **dict.fromkeys(("seq_lengths", "seq_lens", "seq_len", "sequence_length", "sequence_lengths", "length"), _LENGTHS),
    **dict.fromkeys(("attention_mask", "padding_mask", "src_key_padding_mask", "masks"), _MASK),
    "deterministic": f"{_TRAIN}, which is its opposite",
    **dict.fromkeys(("training", "is_training"), _TRAIN),
    **dict.fromkeys(("initial_state", "init_carry", "h0", "h_0", "hx", "state", "hidden", "carry"), _FIRST),
    "init_key": "none is needed: first carries are zeros, or learned with first_carry=",
    **dict.fromkeys(("keep_order", "flip"), _ORDER),
    "go_backwards": f"RNN(cell, reverse=True); {_ORDER}",
    "bidirectional": "Bidirectional(RNN(cell), RNN(cell, reverse=True))",
    "num_layers": "StackedRNN([RNN(LSTMCell(64)) for _ in range(2)])",
    "dropout": "input_dropout= and recurrent_dropout= of RNN; between layers it is StackedRNN(layers, dropout=rate)",
    "stateful": "pass the carry on by initial_carry=, or let rnnjax.Carried keep it",
    **dict.fromkeys(("merge_mode", "merge_fn"), "merge='concat', 'sum', 'mean' or 'mul'"),
    "backward_layer": "Bidirectional(RNN(cell), RNN(cell, reverse=True))",
    **dict.fromkeys(("bias", "use_bias"), _BIAS),
    **dict.fromkeys(("nonlinearity", "activation"), f"{_CELL}: SimpleRNNCell(64, activation=nn.relu)"),
    "proj_size": f"{_CELL}: ProjectedLSTMCell(64, projection=32)",
    **dict.fromkeys(("dtype", "param_dtype", "carry_dtype"), f"{_CELL}: RNN(LSTMCell(64, dtype=jnp.bfloat16))"),
    **dict.fromkeys(("variable_axes", "variable_broadcast", "variable_carry", "split_rngs"), _VARIABLES),
    **dict.fromkeys(("segment_ids", "reset_mask", "reset", "done", "dones"), _RESETS),
    "use_cudnn": "implementation='cudnn'",
}
"""What errors say to a word that is no option of ours."""

_OF_RNN = "it is an option of the layer: RNN(cell, {word}=...)"
_TANH = (
    "SimpleRNNCell(64, activation=nn.relu) has one; gated cells have tanh and the logistic function, and "
    "RNN(nn.LSTMCell(64, activation_fn=nn.relu)) runs Flax's"
)

OURS_OF_CELLS = {
    **dict.fromkeys(
        ("hidden_size", "units", "num_units", "hidden_dim", "cell_size", "hidden_features", "output_size"),
        "the width is the first argument, features=64",
    ),
    **{word: OURS[word] for word in ("input_size", "input_shape", "input_dim", "bias", "use_bias", "num_layers")},
    **dict.fromkeys(("in_features", "d_input"), OURS["input_dim"]),
    **dict.fromkeys(("kernel_init", "kernel_initializer"), "input_init="),
    **dict.fromkeys(("recurrent_kernel_init", "recurrent_initializer"), "recurrent_init="),
    "bias_initializer": "bias_init=",
    **dict.fromkeys(("activation", "activation_fn", "nonlinearity", "recurrent_activation", "gate_fn"), _TANH),
    "reset_after": "GRUCell has reset_after=True, ResetBeforeGRUCell has it False",
    "unit_forget_bias": "LSTMCell has forget_bias=1.0, the default, or 0.0",
    "forget_gate_bias": "forget_bias= of LSTMCell",
    "proj_size": "ProjectedLSTMCell(64, projection=32)",
    "carry_init": "the layer has it: RNN(cell, first_carry=LearnedCarry(init))",
    **dict.fromkeys(("dropout", "dropout_rate"), "input_dropout= and recurrent_dropout= of RNN"),
    "rngs": "parameters are made by init(key, ...)",
    **dict.fromkeys(("reverse", "unroll", "remat", "implementation", "variational", "first_carry", "train"), _OF_RNN),
    **dict.fromkeys(("input_dropout", "recurrent_dropout", "weight_dropout", "zoneout"), _OF_RNN),
    **dict.fromkeys(("bidirectional", "go_backwards"), OURS["bidirectional"]),
    **{word: OURS[word] for word in ("return_sequences", "return_state", "batch_first", "time_major")},
}
"""What errors say to a word that is no option of a cell."""


def checked_options(
    where: str,
    function: Callable[..., Any],
    given: tuple[str, ...] | dict[str, Any],
    ours: Mapping[str, str] = MappingProxyType(OURS),
) -> None:
    """That all the words given are options.

    Raises:
      UsageError: with the right word where one is not.
    """
    parameters = _parameters(function)
    if any(kind is inspect.Parameter.VAR_KEYWORD for kind in parameters.values()):
        return
    options = [name for name in parameters if name not in ("self", "parent", "name")]
    for word in given:
        if word in parameters:
            continue
        close = {"lengths", "mask", "resets", "initial_carry", "reset_carry", "train", "return_carries"} - set(options)
        said = ours.get(word, f"it has {', '.join(options)}").format(word=word)
        if word in close and ours.get(word) is None:
            said = "it is an option of the call"
        if word in ("reverse", "unroll", "implementation", "zoneout", "remat") and word not in options:
            said = f"it is an option of the layer: RNN(cell, {word}=...)"
        raise UsageError(f"{where}: {word} is no option here; {said}")


@functools.cache
def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: parameter.kind for name, parameter in inspect.signature(function).parameters.items()}


def answered(call: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's method, which answers words of other libraries, and arguments by position that have to be named."""
    names = [name for name, kind in _parameters(call).items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD][1:]

    @functools.wraps(call)
    def answering(self: Any, *args: Any, **options: Any) -> Any:
        where = type(self).__name__ + ("" if call.__name__ == "__call__" else f".{call.__name__}")
        checked_options(where, call, options, self._ours)
        if len(args) > len(names):
            raise UsageError(
                f"{where} takes {' and '.join(names)} without a name; name what else you give, as in lengths=lengths"
            )
        return call(self, *args, **options)

    return answering


class Answering:
    """A module whose constructor answers words of other libraries."""

    _ours = MappingProxyType(OURS)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        del args
        checked_options(cls.__name__, cls.__init__, options, cls._ours)
        return super().__new__(cls)
