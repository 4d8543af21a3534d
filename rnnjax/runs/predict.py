"""From a work folder to a trained model's answers."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from rnnjax import terminal
from rnnjax.config.language import Sampling, Search
from rnnjax.data import Preprocess, Spec
from rnnjax.data.examples import check_finite
from rnnjax.data.spec import nested
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.layers.precision import at_precision
from rnnjax.runs import batches, changes, restored
from rnnjax.runs import generate as generating
from rnnjax.runs.answering import Asked, predict
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import Task
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.state import variables_of

_CHUNK = 4096
"""Inputs that are held at once, at most; those without steps, and those that are long or large, are fewer."""
_CHUNK_STEPS, _CHUNK_BYTES = 2**21, 2**26


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained model, ready to use.

    Attributes:
      model: the module; ``model.apply(variables, **preprocess(raw))`` gives its outputs.
      variables: of the best checkpoint.
      preprocess: from raw input to the model's arguments.
      task: what the outputs mean.
      spec: of the data that it was trained on.
      buckets: padded lengths of the training, where its configuration says them; else those of the preprocessing.
    """

    model: nn.Module
    variables: Any = field(repr=False)  # thousands of numbers, at the end of every notebook's cell
    preprocess: Preprocess
    task: Task
    spec: Spec
    buckets: tuple[int, ...] = ()
    _apply: Any = field(init=False, repr=False)

    def __post_init__(self):
        names = tuple(self.spec.inputs)

        def apply(variables: Any, stored: Mapping[str, Any]) -> Any:
            arrays = self.preprocess.on_device(stored)
            return self.model.apply(variables, **nested({name: arrays[name] for name in names}))

        precise = at_precision(getattr(self.model, "precision", "default"), apply)
        object.__setattr__(self, "_apply", jax.jit(precise))

    def __iter__(self) -> Iterator[Any]:
        """``model, variables, preprocess = rnnjax.load(folder)``."""
        return iter((self.model, self.variables, self.preprocess))

    def __call__(self, raw: Any, *, lengths: Any = None) -> Any:
        """Answers to raw inputs, a row an example: class names, a list of them where each step has one, or numbers in
        the targets' units.

        Args:
          raw: images, documents or arrays, as the model's data were.
          lengths: ``[N]``, of padded rows.

        Raises:
          DataError: if they are not of the kind that the model was trained on.
        """
        return self.task.answers(self._unpadded(raw, lengths), self.spec)

    def rows(self, raw: Any) -> list[dict[str, Any]]:
        """The same as JSON values with what else the task says of each row, such as a class's probability."""
        return self.task.rows(self._unpadded(raw), self.spec)

    def _unpadded(self, raw: Any, lengths: Any = None) -> Any:
        stored = self.stored(raw, lengths)
        return self.task.unpadded(self.outputs(stored), stored.get("lengths"))

    def logits(self, raw: Any, *, lengths: Any = None) -> np.ndarray:
        """The model's outputs for raw inputs, ``[N, ...]``; of a classifier, not normalised."""
        return self.outputs(self.stored(raw, lengths))

    def probabilities(self, raw: Any, *, lengths: Any = None) -> Any:
        """The probability of each class, ``[N, C]`` in the order of ``spec.names``; a list of ``[T, C]`` of steps.

        Raises:
          UsageError: if the task has no classes.
          DataError: as a call does.
        """
        return self.task.probabilities(self._unpadded(raw, lengths), self.spec)

    def predict_file(self, path: str | Path, *, top: int = 0, threshold: str | None = None) -> Iterator[dict[str, Any]]:
        """Answers to what stands in a file, folder or zip, as it was read in training, each row as JSON values.

        A row has ``input`` (and ``place``, where that is another: row, line or file), and the answer with all
        probabilities; or ``error``, what is wrong with the input. There is one for each input, in their order, and no
        more of them than two chunks are in memory.

        Args:
          path: of the inputs.
          top, threshold: see :class:`Asked`.

        Raises:
          UsageError: if the model reads no files, or the task has no classes to choose from.
        """
        self.task.check_asked(self.spec, top=top, threshold=threshold)
        inputs = self.preprocess.read([str(path)], [], None)
        return (answer.to_json() for answer in predict(self, inputs, Asked(top, threshold)))

    def outputs(self, stored: Mapping[str, Any]) -> Any:
        """The model's outputs for stored arrays ``[N, ...]``, a batch of rows of like lengths at a time."""
        count = len(next(iter(stored.values())))
        if not count:
            raise DataError("there is nothing to answer: no input was given")
        timed = self.timed(stored)
        allowed = self.padded_lengths if timed else ()
        if count <= batches.FEW:
            (batch,) = batches.planned(count, stored.get("lengths"), allowed, 1)
            made = self._apply(self.variables, batches.taken(stored, batch, timed))
            return batches.in_order([(batch, jax.tree.map(np.asarray, made))], count)
        plan = self._spread.planned(count, stored.get("lengths"), allowed)
        parts = [(batch, self._spread.begun(batches.taken(stored, batch, timed))) for batch in plan]
        return batches.in_order([(batch, batches.flat(jax.tree.map(np.asarray, made))) for batch, made in parts], count)

    @property
    def padded_lengths(self) -> tuple[int, ...]:
        """To which sequences may be cut, rising; none: they stay as they are encoded."""
        return self.buckets or self.preprocess.padded_lengths

    def timed(self, stored: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the arrays whose axis 1 is surely time: of an only one with lengths."""
        return tuple(name for name in stored if name != "lengths") if set(stored) == {"inputs", "lengths"} else ()

    @functools.cached_property
    def _spread(self) -> batches.Spread:
        return batches.Spread(self._apply, self.variables)

    @functools.cached_property
    def chunk(self) -> int:
        """Inputs that are answered at once: what lies between bounds of steps and of bytes."""
        like = self.spec.inputs["inputs"] if "inputs" in self.spec.inputs else next(iter(self.spec.inputs.values()))
        size = np.dtype(self.preprocess.read_as or like.dtype).itemsize * int(np.prod(like.shape))
        most = _CHUNK_BYTES // max(size, 1)
        most = min(most, _CHUNK_STEPS // max(like.shape[1], 1)) if "lengths" in self.spec.inputs else min(most, 256)
        return max(batches.FEW, min(_CHUNK, most))

    def generate(
        self,
        prompt: Any,
        length: int = 400,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Any:
        """What a language model goes on with, as :class:`rnnjax.config.language.Sampling` says.

        Args:
          prompt: a text, a list of texts of as many tokens each, or token ids ``[B, T]``.
          length, temperature, top_k, top_p, seed: see there; a row's draws are the same beside any number of others.

        Returns:
          The text that follows, a list of them, or ids ``[B, length]``.

        Raises:
          UsageError: if this is no language model with :class:`rnnjax.Carried`, or a setting is none.
          DataError, RunError: at a prompt that the model cannot read, and at logits that are no numbers.
        """
        how = Sampling(length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        return generating.generate(self.generator, self.preprocess, prompt, how)

    def searching(self, how: Search | int) -> "Predictor":
        """The same model with another search for what it writes: ``predictor.searching(5)`` keeps a beam of five.

        Args:
          how: the beam, or with more :class:`rnnjax.Search`, as ``searching(Search(beam=5, length_penalty=0.6))``.

        Raises:
          UsageError: if the model writes no sequences, or the beam is none.
        """
        if not self.task.writes:
            raise UsageError(f"--beam is for models that write sequences; this one is of {type(self.task).__name__}")
        how = how if isinstance(how, Search) else Search(beam=how)
        model = self.model.clone(beam=how.beam, length_penalty=how.length_penalty)
        return Predictor(model, self.variables, self.preprocess, self.task, self.spec, self.buckets)

    @functools.cached_property
    def generator(self) -> generating.Generator:
        """The language model as it is sampled from; raises UsageError if this is none."""
        return generating.Generator(self.model, self.variables, self.preprocess, self.task, self.spec)

    @property
    def apply(self) -> Any:
        """``apply(variables, **arguments)``, the model's own."""
        return self.model.apply

    def stored(self, raw: Any, lengths: Any = None) -> dict[str, Any]:
        """Raw inputs as they are stored, ``[N, ...]`` by name, if they are such as the model was trained on.

        Raises:
          DataError: if not.
        """
        stored = self.preprocess.encode(raw)
        if lengths is not None:
            stored = {**stored, "lengths": np.asarray(lengths)}
        if self.task.writes and "targets" in self.spec.inputs and "targets" not in stored:
            rows = len(next(iter(stored.values())))
            stored = {**stored, "targets": np.zeros((rows, 0), np.int32)}  # nobody knows them yet
        missing = [name for name in self.spec.inputs if name not in stored]
        if missing == ["lengths"] and len({*stored} - {"targets"}) == 1:  # all of its length
            array = next(iter(stored.values()))
            stored = {**stored, "lengths": np.full(len(array), np.shape(array)[1:2] or 0, np.int32)}
        elif missing:
            raise DataError(f"the model needs {', '.join(self.spec.inputs)}, got {', '.join(stored)}")
        if "lengths" in stored and "lengths" not in self.spec.inputs:
            raise DataError("the model was trained on rows of one length and takes no lengths: it would read padding")
        if unknown := [name for name in stored if name not in self.spec.inputs]:
            raise DataError(f"the model takes {', '.join(self.spec.inputs)}, and no {', '.join(unknown)}")
        for name, like in self.preprocess.stored(self.spec).items():
            array = np.asarray(stored[name])
            if array.ndim != len(like.shape):
                raise DataError(
                    f"{name} must be [N{''.join(f', {n}' for n in like.shape[1:])}], got {list(array.shape)}; "
                    "one example is a batch of one, x[None]"
                )
            if array.shape[2:] != tuple(like.shape[2:]):
                wanted = ", ".join(map(str, like.shape[2:]))
                raise DataError(f"{name} must be [N, T, {wanted}] as in training, got {list(array.shape)}")
            # A window of training is a part of a stream, which a language model reads at any length.
            fixed = "lengths" not in self.spec.inputs and not self.task.generates
            if array.ndim == 2 and fixed and array.shape[1] != like.shape[1]:
                raise DataError(f"{name} must be [N, {like.shape[1]}] as in training, got {list(array.shape)}")
            check_finite(name, array)
        if len({len(array) for array in stored.values()}) > 1:
            raise DataError(f"the inputs differ in number: { {name: len(array) for name, array in stored.items()} }")
        if "lengths" in self.spec.inputs:
            _check_lengths(stored)
        return {name: stored[name] for name in self.spec.inputs}


def _check_lengths(stored: Mapping[str, Any]) -> None:
    """Raises DataError where lengths are no numbers of steps: a mask would be made of them without a word."""
    lengths, steps = stored["lengths"], max((array.shape[1] for array in stored.values() if array.ndim > 1), default=0)
    if not np.issubdtype(lengths.dtype, np.integer):
        raise DataError(f"lengths must be integers, got {lengths.dtype}")
    if len(lengths) and not 0 <= lengths.min() <= lengths.max() <= steps:
        raise DataError(f"lengths must lie in 0..{steps}, got {lengths.min()}..{lengths.max()}")


def load(workdir: str | Path, experiment: Experiment | None = None) -> Predictor:
    """Loads the best checkpoint of a work folder; of this package's own kinds, nothing but the folder is needed.

    Args:
      workdir: the work folder, such as ``runs/mnist_rows/seed-0``.
      experiment: what was trained, where a part of it (data, model, task) is one of your own.

    Raises:
      UsageError: if the folder holds no run, no checkpoint yet, or one of another experiment.
      RunError: if no checkpoint in it can be used.
    """
    if experiment is not None and not isinstance(experiment, Experiment):
        raise UsageError(f"load: experiment must be the rnnjax.Experiment that was trained, got {experiment!r:.80}")
    root = Path(workdir)
    folder = WorkDir(root) if experiment is None else WorkDir(root, experiment.kinds)
    run = folder.read_run()
    for changed in changes.since(run.version, run.config):
        terminal.note(f"{root} was trained before a change of meaning, and answers otherwise than it did: {changed}")
    preprocess = restored.preprocess(folder, run, experiment)
    task = restored.task(root, run, experiment)
    spec = preprocess.spec if run.spec is None else Spec.from_json(run.spec)
    model, like = restored.model(folder, run, spec, task, experiment)
    checkpoints = Checkpoints(folder.checkpoints, run.mark(), digested=run.digested)
    if not checkpoints.steps():
        raise UsageError(f"{root} holds no checkpoint yet; train it first")
    saved, problems = checkpoints.best(like, task.rank, partly=True)
    listed = "; ".join(f"step {step}: {why}" for step, why in sorted(problems.items()))
    if saved is None:
        raise RunError(f"no checkpoint in {folder.checkpoints} can be used: {listed}")
    if problems:
        terminal.note(
            f"that of step {saved.step} is the best checkpoint in {folder.checkpoints} that is whole; {listed}"
        )
    buckets = tuple(getattr(run.config.data, "bucket_lengths", ()))
    return Predictor(model, variables_of(saved.state), preprocess, task, spec, buckets)
