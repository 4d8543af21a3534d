"""A language model goes on with a text, token by token with its recurrence's carry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnnjax.config.language import Sampling
from rnnjax.data import Preprocess
from rnnjax.data.spec import Spec, nested
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.layers.carried import CARRY
from rnnjax.runs.sampling import row_keys, sample
from rnnjax.tasks import Task
from rnnjax.training.state import seed_key

Array = jax.Array

STEPS = 16
"""Tokens of a compiled call: few enough that they are shown as they come."""


class Generator:
    """A language model that reads and writes one token a step.

    A prompt is read by the same compiled steps that draw what follows, so that a number of rows compiles once, for any
    prompt and any :class:`rnnjax.config.language.Sampling`.

    Args:
      model: its outputs are logits ``[B, T, V]``, and its recurrence is :class:`rnnjax.Carried`.
      variables: of the model.
      preprocess: its ``on_device`` makes the model's arguments, and ``never`` says what is not drawn.
      task: what the outputs mean.
      spec: of the data that the model was trained on.

    Raises:
      UsageError: if it is no such model.
    """

    def __init__(self, model: nn.Module, variables: Any, preprocess: Preprocess, task: Task, spec: Spec):
        if not task.generates:
            raise UsageError(f"this is no language model: its outputs are those of {type(task).__name__}")
        if len(spec.inputs) != 1:
            raise UsageError(f"a model that goes on reads tokens alone; this reads {', '.join(spec.inputs)}")
        (self._name,) = spec.inputs
        self._model, self._preprocess, self._tokens = model, preprocess, spec.outputs
        self._variables = jax.device_put({name: tree for name, tree in variables.items() if name != CARRY})
        self._drawn_steps = jax.jit(self._steps)
        self._begin = jax.jit(self._carry, static_argnums=0)

    def stream(self, ids: Any, sampling: Sampling) -> Iterator[np.ndarray]:
        """What follows token ids ``[B, T]``, as it is drawn: ids ``[B, n]``, ``sampling.length`` of them together.

        A row's draws are of its number and the seed, whatever the number of rows.

        Raises:
          DataError: if they are no ids of tokens, or not even one.
          RunError: if the model answers with what is no number.
        """
        prompt = self._checked(ids)
        rows, given = prompt.shape
        carry, last = self._begin(rows), jnp.zeros(rows, jnp.int32)
        key, total = jax.random.key_data(seed_key(sampling.seed)), given - 1 + sampling.length
        temperature = np.float32(min(sampling.temperature, np.finfo(np.float32).max))
        how = (temperature, np.int32(sampling.top_k), np.float32(sampling.top_p))
        for place in range(0, total if sampling.length else 0, STEPS):
            part = np.zeros((STEPS, rows), np.int32)
            read = prompt[:, place : place + STEPS]
            part[: read.shape[1]] = read.T
            carry, last, drawn = self._drawn_steps(self._variables, carry, last, part, place, given, key, how)
            made = np.asarray(drawn)[max(given - 1 - place, 0) : total - place].T
            if (made < 0).any():
                raise RunError("the model's logits are no numbers: its training has diverged, or they overflow")
            if made.size:
                yield made

    def decode(self, carry: Any, ids: Array, variables: Any = None) -> tuple[Any, Array]:
        """One step: the carry after tokens ``[B]``, and the logits ``[B, V]`` of those that follow; to be compiled."""
        variables = self._variables if variables is None else variables
        outputs, changed = self._model.apply({**variables, CARRY: carry}, mutable=[CARRY], **self._arguments(ids))
        return changed[CARRY], outputs[:, -1]

    def beginning(self, rows: int) -> Any:
        """The carry of a text's beginning, for so many rows."""
        return self._begin(rows)

    def _steps(
        self, variables: Any, carry: Any, last: Array, prompt: Array, first: Array, given: Array, key: Array, how: Any
    ) -> tuple[Any, Array, Array]:
        """``prompt [STEPS, B]`` from place ``first`` on; past ``given`` tokens, what was drawn is read in its place."""
        key, rows = jax.random.wrap_key_data(key), prompt.shape[1]
        never = np.isin(np.arange(self._tokens), self._preprocess.never)

        def one(state: Any, step: Any) -> tuple[Any, Array]:
            (carry, last), (place, wanted) = state, step
            carry, logits = self.decode(carry, jnp.where(place < given, wanted, last), variables)
            logits = jnp.where(never, -jnp.inf, logits.astype(jnp.float32))
            token = sample(row_keys(key, rows, place), logits, *how)
            return (carry, token), token

        (carry, last), drawn = lax.scan(one, (carry, last), (first + jnp.arange(STEPS), prompt))
        return carry, last, drawn

    def _arguments(self, ids: Array) -> Mapping[str, Any]:
        return nested(self._preprocess.on_device({self._name: ids[:, None]}))

    def _carry(self, rows: int) -> Any:
        made = self._model.init(jax.random.key(0), **self._arguments(jnp.zeros(rows, jnp.int32)))
        if CARRY not in made:
            raise UsageError(
                f"{type(self._model).__name__} keeps no carry from call to call, so it cannot go on with a text; "
                "put its recurrence into rnnjax.Carried"
            )
        return made[CARRY]

    def _checked(self, ids: Any) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size:
            raise DataError(f"a prompt is a text, or token ids [B, T] with T of 1 or more; got {ids.dtype} {ids.shape}")
        if ids.min() < 0 or ids.max() >= self._tokens:
            raise DataError(f"token ids must lie in 0..{self._tokens - 1}, got {ids.min()}..{ids.max()}")
        return ids.astype(np.int32)


def going_on(generator: Generator, preprocess: Preprocess, prompts: Sequence[str], sampling: Sampling) -> Any:
    """What follows texts of as many tokens each, as it is drawn: lists of what each text goes on with.

    Raises:
      DataError, UsageError: where :meth:`Generator.stream` or :meth:`rnnjax.Preprocess.prompt` does.
    """
    read = [preprocess.prompt(text) for text in prompts]
    if len({len(row) for row in read}) != 1:
        raise DataError(f"prompts side by side must be of one length in tokens, got {[len(row) for row in read]}")
    joiners: list[Callable[..., str]] = [preprocess.joiner() for _ in read]
    for join, row in zip(joiners, read, strict=True):
        join(row)  # what follows a word begins with a space
    for part in generator.stream(np.stack(read), sampling):
        yield [join(row) for join, row in zip(joiners, part, strict=True)]
    yield [join([], final=True) for join in joiners]


def generate(generator: Generator, preprocess: Preprocess, prompt: Any, sampling: Sampling) -> Any:
    """See :meth:`rnnjax.Predictor.generate`."""
    if isinstance(prompt, str) or (isinstance(prompt, list | tuple) and all(isinstance(one, str) for one in prompt)):
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        parts = list(going_on(generator, preprocess, prompts, sampling))
        texts = ["".join(of_one) for of_one in zip(*parts, strict=True)]
        return texts[0] if isinstance(prompt, str) else texts
    try:
        ids = np.asarray(prompt)
    except ValueError as error:
        raise DataError("token ids must be [B, T], rows of one length; these rows differ") from error
    nothing = np.zeros((len(ids) if ids.ndim else 0, 0), np.int32)
    return np.concatenate([nothing, *generator.stream(ids, sampling)], 1)
