"""Whole recurrences with a hand-written backward pass, around the scanned sequence.

Differentiating a scan step by step saves a dozen arrays a step and adds to the kernel's gradient at
every step. Here the forward pass saves what a backward step is made of, an LSTM its gates and cells, a
GRU and a simple recurrence the coefficients to multiply with; a backward step is one product
with the transposed kernel and what is element-wise, and the gradients of kernels and biases are single
sums over all T * B rows after the loop. What is saved overwrites the projected inputs, and the gradient
overwrites what was saved. Where nothing is differentiated, nothing is saved, and :func:`run` has the
projected inputs of a few steps at a time.

The functions take *projected* inputs, as a cell's ``project`` makes them, so that all
implementations share one parameter tree. Best hand over :func:`project` of the inputs, and the
input bias as ``bias``: added before the loop, it costs one more array of the projected inputs' size.
Where only the last hidden state counts, take it from the carry: that saves an array of gradients.

A masked step leaves the carry as it is and its output is zero; cotangents pass it likewise, and what
stands in its projected inputs, NaN included, reaches neither results nor gradients. Forward-mode differentiation
is that of the scan (:mod:`rnnjax.layers.fused.derivatives`).

:class:`Extras` adds resets, dropout of the hidden state and zoneout. Without it the compiled program is
the one that knows none of them; resets save one more array of outputs.

Axes: T time, B batch (exactly one axis), D input features, H hidden features.
"""

from rnnjax.layers.fused.gru import gru_sequence
from rnnjax.layers.fused.loops import Extras
from rnnjax.layers.fused.lstm import lstm_sequence
from rnnjax.layers.fused.projection import project, run
from rnnjax.layers.fused.simple import simple_rnn_sequence

__all__ = ["Extras", "gru_sequence", "lstm_sequence", "project", "run", "simple_rnn_sequence"]
