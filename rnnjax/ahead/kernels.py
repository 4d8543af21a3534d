"""What a compiled program launches: which instructions are kernels, and of which kind."""

import dataclasses

from rnnjax.ahead.collectives import begun_within, is_collective, result
from rnnjax.ahead.program import Computation, Instruction, Program

# What takes no time of its own: names for what is there, and the ends of what was begun elsewhere.
_FREE = frozenset({
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "add-dependency", "opt-barrier",
    "partition-id", "replica-id", "domain", "get-dimension-size", "recv",
})  # fmt: skip
_FREE_TARGETS = ("AllocateBuffer", "Sharding", "SPMD", "AssumeGatherIndicesInBound", "annotate_", "xla.sdy")
_PRODUCT_TARGETS = ("__cublas", "__cudnn$conv", "__onednn$matmul", "__onednn$conv", "__triton_gemm", "EigenMatMul")
_KERNEL_TARGETS = ("tpu_custom_call", "mosaic", "triton", "pallas")  # kernels of the user's: Pallas' back ends
_PRODUCTS = frozenset({"dot", "convolution", "scaled-dot", "ragged-dot"})

_MOVES = frozenset({"parameter", "tuple", "bitcast", "copy", "transpose", "reshape", "fusion"})

PRODUCT, FUSED_PRODUCT, FUSION, COPY = "product", "fused product", "fusion", "copy"
HAND_WRITTEN, COLLECTIVE, SCALAR, OTHER = "hand-written", "collective", "scalar", "other"


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel that a computation launches.

    Attributes:
      name: of the instruction.
      kind: ``"product"`` (a dot or convolution by itself, or a call of cuBLAS or cuDNN), ``"fused product"`` (a
        fusion that contains one, a Triton product of XLA's among them), ``"fusion"``, ``"copy"`` (also a fusion that
        only copies or transposes), ``"hand-written"`` (a Pallas kernel, by Mosaic or Triton; what is in it is
        unknown), ``"collective"``, ``"scalar"`` (arithmetic of single numbers outside of a fusion, done by a TPU's
        scalar unit or a host: no launch) or ``"other"``.
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
        elif instruction.operation in ("call", "async"):
            for name in instruction.called():
                found += kernels(program, program.computations[name])
        elif instruction.opcode != "while":
            kind = kind_of(program, computation, instruction)
            if kind is not None:
                found.append(_kernel(program, instruction, kind))
    return found


def _kernel(program: Program, instruction: Instruction, kind: str) -> Kernel:
    shape, opcode = result(instruction), instruction.target or instruction.operation
    return Kernel(
        instruction.name, kind, opcode, str(shape), shape.bytes, instruction.op_name, program.source(instruction)
    )


def kind_of(program: Program, computation: Computation, instruction: Instruction) -> str | None:
    """The kind of kernel that an instruction is, as :class:`Kernel` lists them; None if it launches none."""
    opcode = instruction.operation
    if opcode in _FREE or opcode.endswith(("-done", "-update")):
        return None
    if opcode == "custom-call":
        return called_kind(instruction.target)
    if opcode == "fusion":
        return _fusion_kind(program, instruction)
    if opcode in _PRODUCTS:
        return PRODUCT
    if is_collective(instruction):
        return COLLECTIVE
    if opcode == "copy":
        return COPY
    arrays = [instruction, *computation.operands(instruction)]
    return SCALAR if all(each.shape.parts is None and not each.shape.dims for each in arrays) else OTHER


def _fusion_kind(program: Program, instruction: Instruction) -> str | None:
    inner = list(program.within(instruction))
    if begun_within(program, instruction):
        return COLLECTIVE
    if any(each.target == "AsyncCollectiveDone" for each in inner):
        return None  # waits for what was begun elsewhere
    opcodes = {each.opcode for each in inner}
    if not _PRODUCTS.isdisjoint(opcodes):
        return FUSED_PRODUCT
    return COPY if opcodes <= _MOVES else FUSION


def called_kind(name: str) -> str | None:
    """The kind of a custom call of the target ``name``; None if that is only a mark, or memory set apart."""
    if name.startswith(_FREE_TARGETS):
        return None
    if name.startswith(_PRODUCT_TARGETS):
        return PRODUCT
    return HAND_WRITTEN if any(part in name.lower() for part in _KERNEL_TARGETS) else OTHER
