"""What a compiled program launches: which instructions are kernels, and of which kind."""

import dataclasses
from collections.abc import Iterator

from rnnjax.ahead.program import Computation, Instruction, Program

# What takes no time of its own: names for what is there, and the ends of what was begun elsewhere.
FREE = frozenset({
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "add-dependency", "opt-barrier",
    "optimization-barrier", "partition-id", "replica-id", "domain", "get-dimension-size", "all-reduce-done",
    "all-gather-done", "collective-permute-done", "async-done", "async-update", "copy-done", "send-done", "recv-done",
})  # fmt: skip
_FREE_TARGETS = (
    "AllocateBuffer",
    "Sharding",
    "SPMD",
    "AssumeGatherIndicesInBound",
    "annotate_",
    "xla.sdy",
    "LayoutConstr",
)
_COLLECTIVES = (
    "all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "ragged-all-to-all",
    "collective-broadcast",
)  # fmt: skip
COLLECTIVES = frozenset({*_COLLECTIVES, *(f"{name}-start" for name in _COLLECTIVES)})
_PRODUCT_TARGETS = ("__cublas", "__cudnn$conv", "__onednn$matmul", "__onednn$conv", "__triton_gemm", "EigenMatMul")
_KERNEL_TARGETS = ("tpu_custom_call", "mosaic", "triton", "pallas")  # kernels of the user's: Pallas' back ends
_PRODUCTS = ("dot", "convolution", "scaled-dot", "ragged-dot")

PRODUCT, FUSED_PRODUCT, FUSION, COPY = "product", "fused product", "fusion", "copy"
HAND_WRITTEN, COLLECTIVE, SCALAR, OTHER = "hand-written", "collective", "scalar", "other"


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel that a computation launches.

    Attributes:
      name: of the instruction.
      kind: ``"product"`` (a dot or convolution by itself, or a call of cuBLAS or cuDNN), ``"fused product"`` (a
        fusion that contains one, a Triton product of XLA's among them), ``"fusion"``, ``"copy"``,
        ``"hand-written"`` (a Pallas kernel, by Mosaic or Triton; what is in it is unknown), ``"collective"``,
        ``"scalar"`` (arithmetic of single numbers outside of a fusion, done by a TPU's scalar unit or a host: no
        launch) or ``"other"``.
      opcode: of the instruction; of a custom call its target.
      shape: of the result, such as ``f32[16,128]``.
      bytes: of the result.
      op_name: where it comes from in the traced function.
      source: ``file:line`` there; empty if unknown.
    """

    name: str
    kind: str
    opcode: str
    shape: str
    bytes: int
    op_name: str
    source: str

    @property
    def backward(self) -> bool:
        """Whether it is of a derivative's backward pass; of a kernel without ``op_name`` False."""
        return "transpose(" in self.op_name


def kernels(program: Program, computation: Computation) -> list[Kernel]:
    """What one run of ``computation`` launches, without the bodies of the loops in it.

    Of a ``conditional`` only the branch with most kernels counts. Calls and asynchronous starts stand for what
    they call. A ``while`` is no kernel; its body is looked at by itself.
    """
    found = []
    for instruction in computation:
        if instruction.opcode == "conditional":
            branches = [kernels(program, program.computations[name]) for name in instruction.branches()]
            found += max(branches, key=len, default=[])
        elif instruction.opcode in ("call", "async-start"):
            for name in instruction.called():
                found += kernels(program, program.computations[name])
        elif instruction.opcode != "while":
            kind = kind_of(program, computation, instruction)
            if kind is not None:
                found.append(_kernel(program, instruction, kind))
    return found


def _kernel(program: Program, instruction: Instruction, kind: str) -> Kernel:
    opcode = target(instruction) or instruction.opcode
    shape, source = instruction.shape, program.source(instruction)
    return Kernel(instruction.name, kind, opcode, str(shape), shape.bytes, instruction.op_name, source)


def target(instruction: Instruction) -> str:
    """The name of what a custom call calls; empty for other instructions."""
    return (
        instruction.attributes.get("custom_call_target", "").strip('"') if instruction.opcode == "custom-call" else ""
    )


def kind_of(program: Program, computation: Computation, instruction: Instruction) -> str | None:
    """The kind of kernel that an instruction is, as :class:`Kernel` lists them; None if it launches none."""
    opcode = instruction.opcode
    if opcode in FREE:
        return None
    if opcode == "custom-call":
        return _called_kind(target(instruction))
    if opcode == "fusion":
        inner = [each.opcode for each in within(program, instruction)]
        if not COLLECTIVES.isdisjoint(inner):
            return COLLECTIVE
        return FUSION if set(_PRODUCTS).isdisjoint(inner) else FUSED_PRODUCT
    if opcode in _PRODUCTS:
        return PRODUCT
    if opcode in COLLECTIVES or opcode in ("send", "recv"):
        return COLLECTIVE
    if opcode in ("copy", "copy-start"):
        return COPY
    arrays = [instruction, *computation.operands(instruction)]
    return SCALAR if all(each.shape.parts is None and not each.shape.dims for each in arrays) else OTHER


def _called_kind(name: str) -> str | None:
    if name.startswith(_FREE_TARGETS):
        return None
    if name.startswith(_PRODUCT_TARGETS):
        return PRODUCT
    return HAND_WRITTEN if any(part in name.lower() for part in _KERNEL_TARGETS) else OTHER


def within(program: Program, instruction: Instruction) -> Iterator[Instruction]:
    """All instructions inside a fusion, those of fusions within it too."""
    for name in instruction.called():
        for inner in program.computations[name]:
            yield inner
            if inner.opcode in ("fusion", "call", "async-start"):
                yield from within(program, inner)
