"""A bidirectional LSTM of PyTorch over rows of different lengths, in two ways.

Packed is how PyTorch's users read them. On a CPU each step's gradient then is a zero-filled array of the whole batch's
size; so the other way is here too: both directions over padded rows, the backward one over each row reversed within its
length.
"""

from typing import Any

from experiments.benchmarks.training_torch import torch

WAYS = ("packed", "padded")


def packed(lstm: Any, inputs: Any, lengths: Any) -> tuple[Any, Any]:
    """Outputs ``[B, T, 2 H]``, zero in the padding, and what each direction has read last, ``[B, 2 H]``."""
    rnn = torch.nn.utils.rnn
    rows = rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    outputs, (last, _) = lstm(rows)
    padded, _ = rnn.pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    return padded, torch.cat(list(last), -1)


def directions(lstm: Any, inputs: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """Both directions over padded rows, ``[B, T, H]`` each, zero in the padding.

    Returns:
      The forward one; the backward one in the order in which it reads; and that order, ``[B, T, 1]``, by which
      ``gather`` turns either around.
    """
    lengths, steps = lengths.to(inputs.device)[:, None], torch.arange(inputs.shape[1], device=inputs.device)
    real = (steps < lengths)[..., None]
    order = torch.where(steps < lengths, lengths - 1 - steps, steps)[..., None]
    zeros = inputs.new_zeros(1, len(inputs), lstm.hidden_size)
    given = zip((inputs, inputs.gather(1, order.expand_as(inputs))), lstm.all_weights, strict=True)
    forward, backward = (torch.where(real, _one(lstm, rows, zeros, weights), 0) for rows, weights in given)
    return forward, backward, order


def _one(lstm: Any, inputs: Any, zeros: Any, weights: Any) -> Any:
    return torch.lstm(inputs, (zeros, zeros), weights, True, 1, 0.0, lstm.training, False, True)[0]
