"""Recurrence over a sequence in one direction.

Axes: B batch (any number of leading axes), T time, D input features, H hidden features.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.carries import fitted, part_names
from rnnjax.layers.cells import Carry, Noise, RecurrentCell
from rnnjax.layers.cells.foreign import adapted, shown
from rnnjax.layers.cells.noise import dropout_mask
from rnnjax.layers.implementations import checked, run, run_chunks, settled
from rnnjax.layers.masks import as_array, sequence_mask, sequence_starts
from rnnjax.layers.meshes import laid_as
from rnnjax.layers.parts import one_step, own
from rnnjax.layers.rates import checked_rate, is_count
from rnnjax.layers.rules import Implementation, Rules, Steps
from rnnjax.layers.training import switch, switches, training
from rnnjax.layers.words import Answering, answered

Array = jax.Array


class RNN(Answering, nn.Module):
    """Runs a cell over time.

    The weights are the layer's own: it copies the cell that it is given, so that one cell in two layers makes two
    sets of weights, under ``cell`` of either layer. To share weights, call one layer twice.

    All dropout needs a ``dropout`` key and is off unless ``train=True``.

    Attributes:
      cell: the recurrent cell; one of Flax, or of your own from ``nn.RNNCellBase``, runs by the scan
        (:class:`rnnjax.layers.cells.foreign.ForeignCell`).
      reverse: scan from each row's last real step to its first; outputs stay in the inputs' order.
      unroll: steps in one iteration of the compiled loop.
      input_dropout: rate of dropout on the inputs.
      recurrent_dropout: rate of dropout on the hidden state where it meets ``recurrent_kernel``.
      variational: draw the masks of both once a sequence (Gal and Ghahramani 2016,
        arXiv:1512.05287, and Keras) instead of once a step.
      weight_dropout: rate of DropConnect on ``recurrent_kernel``, one mask for the call (Merity et
        al. 2018, arXiv:1708.02182).
      zoneout: probability that a unit of the carry keeps its old value (Krueger et al. 2017,
        arXiv:1606.01305), or one for each array of the carry: ``(c, h)`` for the LSTM. Without
        ``train`` it is what that paper has at test time, the expectation over the draws.
      remat: length of the chunks of time whose inside is computed again in the backward pass, or
        ``"sqrt"`` for chunks of about √T steps, with which the memory for gradients grows like √T.
      implementation: ``"scan"`` is ``nn.scan`` under ordinary differentiation, for every cell and
        option. ``"fused"`` is the hand-written backward pass of :mod:`rnnjax.layers.fused`, for SimpleRNN,
        LSTM and GRU with every option but a carry of another dtype than the products; in forward mode
        it is differentiated as the scan is. ``"associative"`` is ``lax.associative_scan``, for linear cells
        without zoneout, and ``"chunked"``, for these too, runs about √T chunks of about √T steps at once.
        ``"auto"`` takes ``"fused"`` where it can, ``"associative"`` where it can and
        there is an accelerator, and else ``"scan"``; of a cell that was measured on the platform, the
        fastest that can run, also by numbers of steps and batch sizes where these were measured
        (:mod:`rnnjax.layers.measured`). These share their
        parameters and give the same numbers, and draw the same dropout masks. ``"cudnn"``
        (:mod:`rnnjax.layers.cudnn`) is for the float32 LSTM on an NVIDIA GPU, with ``lengths`` and
        without masks, resets, recurrent dropout, zoneout and remat; it rounds as the GPU does, and under
        ``jax.vmap`` and in forward mode ``"fused"`` runs in its place. ``"pallas"``
        (:mod:`rnnjax.layers.pallas`) is for the LSTM and the GRU on a TPU, in float32 and bfloat16, with
        128, 256, 384 or 512 features and without recurrent dropout and zoneout: one kernel for all steps, which
        keeps the carry in float32 between them; in its place, too, ``"fused"`` runs there. A
        :class:`rnnjax.layers.rules.Implementation` of your own runs where it names no obstacle.
      first_carry: a module that makes the carry from which sequences start, and to which resets return, of the cell's
        own and of the names of its parts, as :class:`rnnjax.LearnedCarry`; None takes the cell's own, zeros.
      train: whether dropout is active in calls that do not say; None: it is not. For ``nn.remat`` and
        ``nn.jit``, which trace what a call is given.
    """

    cell: RecurrentCell
    reverse: bool = False
    unroll: int = 1
    input_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    variational: bool = True
    weight_dropout: float = 0.0
    zoneout: float | tuple[float, ...] = 0.0
    remat: int | str | None = None
    implementation: str | Implementation = "auto"
    first_carry: nn.Module | None = None
    train: bool | None = None

    def __post_init__(self):
        switches(self, "reverse", "variational")
        if isinstance(self.zoneout, list):
            self.zoneout = tuple(self.zoneout)  # a module with a list has no hash
        rates = {name: getattr(self, name) for name in ("input_dropout", "recurrent_dropout", "weight_dropout")}
        for place, rate in enumerate(self.zoneout if isinstance(self.zoneout, Sequence) else [self.zoneout]):
            rates[f"zoneout {place}"] = rate
        for name, given in rates.items():
            checked_rate("RNN", name, given)
        if not (self.remat in (None, "sqrt") or is_count(self.remat)):
            raise UsageError(f"RNN: remat must be a positive number of steps, 'sqrt' or None, got {self.remat!r}")
        if not is_count(self.unroll):
            raise UsageError(f"RNN: unroll must be a positive number of steps, got {self.unroll!r}")
        if not (self.first_carry is None or isinstance(self.first_carry, nn.Module)):
            raise UsageError(
                f"RNN: first_carry must be a module, such as LearnedCarry(), got {shown(self.first_carry)}; arrays are "
                "given to the call as initial_carry="
            )
        checked(self.implementation)
        self.cell = own(self, adapted(self.cell))
        self.first_carry = own(self, self.first_carry)
        super().__post_init__()

    @nn.compact
    @answered
    def __call__(
        self,
        inputs: Array,
        *,
        lengths: Array | None = None,
        mask: Array | None = None,
        resets: Array | None = None,
        initial_carry: Carry | None = None,
        reset_carry: Carry | None = None,
        train: bool | None = None,
        return_carries: bool = False,
    ) -> tuple[Carry, Array]:
        """Runs the recurrence.

        Args:
          inputs: ``[..., T, D]``.
          lengths: ``[...]`` integers in 0..T: how many leading steps of each row are real.
          mask: ``[..., T]`` booleans, or zeros and ones, True at real steps; use it or ``lengths``. One ``[T]`` or
            ``[1, T]`` is that of all rows. A masked step leaves the carry as it is.
          resets: ``[..., T]`` booleans as the mask, True at the first step of each of the sequences that are
            packed into a row, or of the episodes in a stream: they start from ``reset_carry`` and never
            see the carry before them. A reverse recurrence starts each at its last real step.
          initial_carry: the cell's carry before the first step that is taken, such as that of the chunk
            before; that of :attr:`first_carry`, or the cell's own, zeros, by default. An LSTM's is ``(c, h)``, also as
            a list, a named tuple or a dictionary of these names; leaves ``[1, H]`` or ``[H]`` are those of all rows.
          reset_carry: the cell's carry from which a reset starts, whatever ``initial_carry`` is; in its forms, and by
            default as there.
          train: whether dropout is active; None leaves it to the attribute.
          return_carries: give the carry after each step, ``[..., T, H]``, in the place of the last one: of an LSTM
            the cells of all steps. At a masked step it is that of the real step before it in the layer's direction.

        Returns:
          ``(carry, outputs)``: each row's carry after its own last real step (the initial carry
          where there is none), or with ``return_carries`` that after each step; and outputs
          ``[..., T, H]``, zero at masked steps. What stands in
          masked steps, NaN included, changes neither results nor gradients.

        Raises:
          UsageError: if ``inputs`` lack a time axis or have another D than the parameters; if ``lengths``, ``mask``,
            ``resets``, ``initial_carry`` or ``reset_carry`` have a wrong shape or dtype, or concrete lengths lie
            outside 0..T; if ``train`` is traced.
        """
        train, return_carries = bool(training(self, train)), switch(self, "return_carries", return_carries)
        inputs = as_array(inputs)
        mask = sequence_mask(inputs, lengths, mask)
        starts = sequence_starts(inputs, resets, mask, self.reverse)
        if mask is not None:
            # NaN * 0 is NaN: padding must be gone before it meets a kernel, or gradients see it.
            inputs = jnp.where(mask[..., None], inputs, jnp.zeros((), inputs.dtype))
        if self.input_dropout:
            shared = (-2,) if self.variational else ()
            inputs = nn.Dropout(self.input_dropout, broadcast_dims=shared)(inputs, deterministic=not train)
        first = self._first(inputs)
        carry = _checked_carry(self.cell, inputs, first, initial_carry, "initial")
        rules = self._rules(inputs, _checked_carry(self.cell, inputs, first, reset_carry, "reset"), train)
        rules = rules._replace(carries=return_carries)
        steps = Steps(
            jnp.moveaxis(inputs, -2, 0),
            None if mask is None else jnp.moveaxis(mask, -1, 0)[..., None],
            None if starts is None else jnp.moveaxis(starts, -1, 0)[..., None],
        )
        if lengths is not None:
            rules = rules._replace(lengths=jnp.asarray(lengths))
        rules = settled(self.implementation, self.cell, steps, rules, self.path)
        carry, outputs = (run if self.remat is None else run_chunks)(self.cell, carry, steps, rules)
        if return_carries:
            outputs, carries = outputs
            carry = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, min(inputs.ndim, leaf.ndim + 1) - 2), carries)
        return carry, jnp.moveaxis(outputs, 0, -2)

    @property
    def features(self) -> int:
        """Features of the outputs."""
        return self.cell.output_features

    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> Carry:
        """The carry that a stream starts from, for loops whose carry has to be there before the first step.

        Args:
          rng: unused by zeros and by what is learned.
          input_shape: ``(..., D)``, that of one step's inputs.
          dtype: of the products, where the cell's own does not tell.

        Returns:
          The cell's own carry, or that of :attr:`first_carry`, which needs parameters:
          ``layer.apply(variables, rng, shape, method="initialize_carry")``.

        Raises:
          UsageError: if there is a :attr:`first_carry` and there are no parameters.
        """
        own = self.cell.initialize_carry(rng, tuple(input_shape), dtype)
        if self.first_carry is None:
            return own
        if self.scope is None:
            raise UsageError(
                "RNN.initialize_carry: the first carry is made of parameters; call "
                "layer.apply(variables, rng, input_shape, method='initialize_carry')"
            )
        return self.first_carry(own, part_names(self.cell, own))

    @property
    def backward_features(self) -> int:
        """How many of the outputs' last features were read from the end, for :func:`rnnjax.layers.pooling.pool`."""
        return self.cell.output_features if self.reverse else 0

    @answered
    def step(
        self,
        carry: Carry | None,
        inputs: Array,
        *,
        mask: Array | None = None,
        resets: Array | None = None,
        reset_carry: Carry | None = None,
        train: bool | None = None,
    ) -> tuple[Carry, Array]:
        """One step for streaming.

        Args:
          carry: that of the step before; None starts a stream.
          inputs: ``[..., D]``.
          mask: ``[...]`` booleans, False for rows that have ended: their carry stays, their output is zero.
          resets: ``[...]`` booleans, True for rows that start anew with this step, from ``reset_carry``.
          reset_carry: as in :meth:`__call__`.
          train: as in :meth:`__call__`. Masks are drawn with the ``dropout`` key of the call: one key for all steps
            of a stream gives the variational masks of a whole sequence, a new key for each step new ones.

        Returns:
          ``(carry, output [..., H])``.

        Raises:
          UsageError: if the recurrence is a reverse one, and as :meth:`__call__`.
        """
        if self.reverse:
            raise UsageError("RNN.step: a reverse recurrence cannot stream, it begins with the last step")
        return one_step(self, carry, inputs, mask, resets, reset_carry, train)

    def _first(self, inputs: Array) -> Carry:
        """The carry from which sequences start, in the dtype that the scan keeps."""
        own = self.cell.initialize_carry(None, inputs.shape[:-2] + inputs.shape[-1:], self.cell.compute_dtype(inputs))
        return own if self.first_carry is None else self.first_carry(own, part_names(self.cell, own))

    @nn.nowrap
    def _rules(self, inputs: Array, reset_carry: Carry, train: bool) -> Rules:
        """Checks the options against the cell and draws what is drawn once a sequence."""
        name, shape = self.cell._kind, self.cell.recurrent_shape or (0, 0)
        if not shape[0] and (self.recurrent_dropout or self.weight_dropout):
            raise UsageError(f"RNN: {name} has no recurrent kernel for recurrent_dropout or weight_dropout")
        leaves, tree = jax.tree.flatten(reset_carry)
        rates = self.zoneout if isinstance(self.zoneout, Sequence) else (self.zoneout,) * len(leaves)
        if len(rates) != len(leaves):
            raise UsageError(f"RNN: {len(rates)} zoneout rates, but the carry of {name} has {len(leaves)} arrays")
        keep = jax.tree.unflatten(tree, rates) if any(rates) else None
        noise, step_rate = Noise(), 0.0
        if train and self.recurrent_dropout and self.variational:
            noise = noise._replace(
                hidden=dropout_mask(self.make_rng("dropout"), (*inputs.shape[:-2], shape[0]), self.recurrent_dropout)
            )
        elif train:
            step_rate = self.recurrent_dropout
        if train and self.weight_dropout:
            noise = noise._replace(kernel=dropout_mask(self.make_rng("dropout"), shape, self.weight_dropout))
        return Rules(reset_carry, noise, step_rate, keep, train, self.reverse, self.unroll, self.remat)


def _checked_carry(cell: RecurrentCell, inputs: Array, own: Carry, given: Carry | None, which: str) -> Carry:
    """The given initial or reset carry, checked, or the layer's own."""
    own = own if given is None else fitted(cell, own, given, which)
    # Inside jax.shard_map a scan's carry must vary over the same mesh axes as what it becomes.
    return jax.tree.map(lambda leaf: _varying_like(laid_as(leaf, inputs), inputs), own)


def _varying_like(leaf: Array, inputs: Array) -> Array:
    missing = jax.typeof(inputs).manual_axis_type.varying - jax.typeof(leaf).manual_axis_type.varying
    return jax.lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf
