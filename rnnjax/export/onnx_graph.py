"""A graph of ONNX operators as it is put together: constants and nodes get their names here."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from rnnjax.errors import UsageError

OPSET = 17
"""Version of the operators, https://github.com/onnx/onnx/blob/main/docs/Versioning.md: the first with layer norm."""

_IR_VERSION = 8  # the format's, as that opset came with

FREE = "batch", "time"
"""How axes of any size are called."""


def packages() -> tuple[Any, Any]:
    """``onnx`` and ``onnxruntime``.

    Raises:
      UsageError: if one is missing.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"ONNX files need the package {error.name}: pip install onnx onnxruntime, or rnnjax[onnx]"
        ) from None
    return onnx, onnxruntime


def refuse(what: str) -> NoReturn:
    """Raises UsageError: ONNX has no operator for this."""
    raise UsageError(f"ONNX cannot say {what}; --to stablehlo holds every model")


class Graph:
    """Nodes and constants; each method that adds a node returns the names of what it makes."""

    def __init__(self):
        self._onnx, _ = packages()
        self._nodes: list[Any] = []
        self._constants: dict[tuple[Any, ...], Any] = {}

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """An array; one of the same values is there once."""
        array = np.ascontiguousarray(np.asarray(values, dtype))
        key = (array.dtype.name, np.shape(values), array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = self._onnx.numpy_helper.from_array(array.reshape(np.shape(values)), name)
        return self._constants[key].name

    def integers(self, *values: int) -> str:
        """A vector of int64, such as axes and shapes are."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.several(operator, inputs, 1, **attributes)[0]

    def several(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """A node with several outputs; an input that is not given is an empty name."""
        made = [f"{operator.lower()}_{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), made, **attributes))
        return made

    def float(self, name: str) -> str:
        """The same numbers as float32."""
        return self.add("Cast", name, to=self._onnx.TensorProto.FLOAT)

    def int64(self, name: str) -> str:
        """The same numbers as int64."""
        return self.add("Cast", name, to=self._onnx.TensorProto.INT64)

    def int32(self, name: str) -> str:
        """The same numbers as int32."""
        return self.add("Cast", name, to=self._onnx.TensorProto.INT32)

    def size(self, name: str, axis: int) -> str:
        """The size of an axis, a scalar of int64."""
        return self.add("Gather", self.add("Shape", name), self.constant(axis, np.int64))

    def reshape(self, name: str, *shape: int) -> str:
        """As ONNX has it: 0 keeps an axis, -1 is what is left."""
        return self.add("Reshape", name, self.integers(*shape))

    def where(self, condition: str, name: str) -> str:
        """The values where the condition holds, and zero elsewhere."""
        return self.add("Where", condition, name, self.constant(0))

    def model(
        self, inputs: Mapping[str, tuple[Sequence[Any], Any]], outputs: Mapping[str, tuple[str, Sequence[Any]]]
    ) -> bytes:
        """The file.

        Args:
          inputs: by name their shape, with a name for an axis of any size, and dtype.
          outputs: by name what they are called in the graph, and their shape; all are float32.
        """
        helper, kind_of = self._onnx.helper, self._onnx.helper.np_dtype_to_tensor_dtype
        for name, (made, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [made], [name]))
        graph = helper.make_graph(
            self._nodes,
            "rnnjax",
            [helper.make_tensor_value_info(n, kind_of(np.dtype(t)), list(s)) for n, (s, t) in inputs.items()],
            [helper.make_tensor_value_info(n, kind_of(np.dtype("f4")), list(s)) for n, (_, s) in outputs.items()],
            list(self._constants.values()),
        )
        made = helper.make_model(
            graph, producer_name="rnnjax", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION
        )
        self._onnx.checker.check_model(made, full_check=True)
        return made.SerializeToString()
