"""The LSTM and the GRU as kernels for TPUs, by Pallas: a whole recurrence is one kernel forward and one backward.

The loop of :mod:`rnnjax.layers.fused` is a program of several kernels a step, between which carry, gates and the
recurrent kernel move through the chip's main memory. Here the recurrent kernel and the carry, in float32 whatever the
dtype of the products, stay in the vector memory (VMEM) for all steps, the projected inputs of the next step arrive
while a step runs, and its results leave while the next one does. Products are bfloat16's own, accumulated in float32,
or float32's in the precision of ``jax.default_matmul_precision``: its lowest, or for any other the highest, which are
those that Pallas has. With ``unroll=k`` the steps of one iteration are k, where there is room: it is meant for steps
that are short against what an iteration costs. None of this was timed, for want of a TPU.

All else is as there: the product of all inputs before, the sums that are the gradients of kernels and biases
after, and masks, resets and directions. What is saved overwrites the projected inputs, and their gradient what was
saved. No whole sequence is copied for it where the batch is a multiple of 8, which the rows of a TPU's tiles are; in
other batches XLA itself changes the layout around the kernels.

The kernels have no rules for ``jax.vmap``, forward mode and second derivatives: there the fused recurrence runs in
their place. On a mesh, they run inside ``jax.pmap`` and ``jax.shard_map``; XLA cannot divide a kernel by itself.

The functions have the arguments of those of :mod:`rnnjax.layers.fused`. :func:`interpreted` runs them without a TPU.
"""

from rnnjax.layers.pallas.gru import gru_sequence
from rnnjax.layers.pallas.lstm import lstm_sequence
from rnnjax.layers.pallas.operands import interpreted, obstacle

__all__ = ["gru_sequence", "interpreted", "lstm_sequence", "obstacle"]
