"""An experiment's model, its data and its compiled steps, put together once and shared by all seeds of a process."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from rnnjax.config.groups import check_epochs
from rnnjax.data import Dataset, Examples
from rnnjax.data.plan import Chunk, steps_per_epoch
from rnnjax.errors import UsageError
from rnnjax.layers.implementations import reporting
from rnnjax.layers.precision import at_precision
from rnnjax.layers.target import tracing_for
from rnnjax.tasks import Task
from rnnjax.training import roles, state, step
from rnnjax.training.accumulate import check_parts
from rnnjax.training.adversarial import Gradients, adversarial_gradients, plain_gradients, virtual_gradients
from rnnjax.training.checks import (
    check_call,
    check_options,
    check_order,
    check_outputs,
    check_still,
    check_sums,
    check_tokens,
    check_views,
)
from rnnjax.training.feed import CHUNK_AXES, Fed, Feed
from rnnjax.training.identity import module_identity
from rnnjax.training.optim import Optimizer, check_groups
from rnnjax.training.parallel import DataParallel


class Runner:
    """What runs: feeds of the splits, and train and eval steps compiled when first called.

    Args:
      experiment: its sections make the model, the optimizer and the augmentation.
      dataset: what its data section loaded.
      devices: JAX devices, or those with all that belongs to them; None: all of this process.

    Attributes:
      model, task: the experiment's.
      parallel: the devices.
      fitting: why the data choose the best checkpoint by another metric than the headline; empty where they do not.
      steps_per_epoch, total_steps: of the training.
      optimizer: the optimizer and its learning rates.
      implementations: which implementation each RNN of the model runs, by its path, as in
        ``{"recurrent/layers_0": "fused"}``.
      variables: shapes of the model's variables, collections by name.
      model_identity: what tells the model from others, as JSON; see :func:`rnnjax.training.identity.module_identity`.
      compile_seconds: time spent so far in first calls, one execution each included.
      input_seconds: time spent so far waiting for training data.
      streamed_step_rate: examples/s that the training steps take when their data are at hand, measured once an
        epoch where the training split is streamed; else None.

    Raises:
      UsageError, DataError: where the experiment's parts do not fit each other; it says which two.
    """

    def __init__(self, experiment: Any, dataset: Dataset, devices: Any = None):
        self.experiment, self.dataset = experiment, dataset
        self.parallel = devices if isinstance(devices, DataParallel) else DataParallel(devices)
        self.compile_seconds = self.input_seconds = 0.0
        self.streamed_step_rate: float | None = None
        self._check_sizes(experiment.data.batch_size)
        self.steps_per_epoch = steps_per_epoch(self.train_plan(seed=0, epoch=0))
        self.total_steps = self.steps_per_epoch * experiment.train.epochs
        self.optimizer = Optimizer(experiment.optim, self.total_steps)
        check_epochs(self.optimizer.section.groups, experiment.train.epochs)
        check_tokens(dataset)
        experiment.task.check_data(dataset)
        check_options(experiment.task, self.optimizer.section)
        self.task: Task = experiment.task.prepared(dataset, self.optimizer.section)
        self.fitting = ""
        if getattr(experiment, "own", False) and not experiment.train.best:
            best, self.fitting = self.task.fitting(dataset)
            self.task = self.task.choosing(best)
        self.model = made_model(experiment.model, dataset.spec, self.task)
        self._recipe = self._make_recipe()
        averaged = self.optimizer.section.ema_decay > 0
        inputs = dataset.spec.zeros()
        self._initialize = jax.jit(state.initializer(self.model, self.optimizer.transform, inputs, averaged=averaged))
        fresh = jax.eval_shape(self._initialize, jax.random.key(0))
        self._carry = self._initial_carry(fresh)
        self._axes = roles.axes(fresh)
        self.variables = {"params": fresh.params, **fresh.model_state}
        self.model_identity = module_identity(self.model, self.variables)
        self._feeds: dict[str, Feed] = {}
        self._functions: dict[Any, Callable] = {}
        self._called: set[Any] = set()
        self._unmeasured = False

    # The plan and the state

    def train_plan(self, *, seed: int, epoch: int) -> list[Chunk]:
        """The chunks of one epoch of training."""
        return self.dataset.plan.train(self.dataset.train, seed=seed, epoch=epoch, **self._sizes())

    def eval_plan(self, split: str) -> list[Chunk]:
        """The chunks of one pass over a split."""
        return self.dataset.plan.evaluate(self.dataset.split(split), **self._sizes())

    def create_state(self, seed: int) -> state.TrainState:
        """A fresh training state, on the host.

        Raises:
          UsageError: if the seed is not an integer from 0 to 2**64 - 1.
        """
        made = jax.tree.map(np.array, self._initialize(state.seed_key(seed)))
        return state.with_carry(made, self._carry)

    def place(self, whole: state.TrainState) -> state.TrainState:
        """A state of the host, on the devices."""
        return roles.placed(whole, self.parallel)

    def on_host(self, placed: state.TrainState) -> state.TrainState:
        """A state on the devices as NumPy arrays, whole, as it is saved."""
        return roles.on_host(placed, self.parallel)

    def fresh_carry(self) -> Any:
        """What the carry of a state is at an epoch's start, on the devices; None where the model has none."""
        return roles.split(self._carry, self.parallel)

    # Training

    def feed_training(self, chunks: list[Chunk], epoch: int, *, seed: int = 0) -> Iterator[Fed]:
        """Each chunk of an epoch's plan with its data, as :meth:`train` takes it.

        Args:
          chunks: of the plan of that epoch.
          epoch: its number, which decides augmentation.
          seed: of the random crops of images that are decoded here.
        """
        stream = iter(self._feed("train")(chunks, epoch, seed))
        self._unmeasured = not self._feed("train").resident
        while True:
            start = time.perf_counter()
            fed = next(stream, None)
            self.input_seconds += time.perf_counter() - start
            if fed is None:
                return
            yield fed

    def is_compiled(self, fed: Fed) -> bool:
        """Whether a call of :meth:`train` finds its program compiled."""
        return self._train_key(fed) in self._called

    def train(self, state: state.TrainState, fed: Fed, learning_rate_scale: float = 1.0) -> tuple[Any, Any]:
        """The steps of a chunk; the state is donated.

        Args:
          state: on the devices.
          fed: by :meth:`feed_training`.
          learning_rate_scale: what the schedule's learning rate is multiplied with.

        Returns:
          The new state, and the task's sums and ``grad_norm`` of each step, ``[K, ...]``.
        """
        chunk, key = fed.chunk, self._train_key(fed)
        function = self._train_function(chunk.length, key[-1])
        arguments = (state, fed.data, {**fed.arguments, "learning_rate_scale": np.float32(learning_rate_scale)})
        if not (self._unmeasured and key in self._called):
            return self._call(key, function, *arguments)
        # Nothing else runs on the devices: it is an epoch's first call, or the one before compiled and was waited for.
        self._unmeasured, start = False, time.perf_counter()
        result = jax.block_until_ready(self._call(key, function, *arguments))
        self.streamed_step_rate = chunk.examples / (time.perf_counter() - start)
        return result

    # The programs, for who compiles and reads them

    def training_program(self, chunk: Chunk) -> tuple[Any, tuple[Any, ...]]:
        """The function that :meth:`train` calls for a chunk, and its arguments as shapes: for ``lower``.

        Where parameters are frozen at first, it is the one after that: it takes the most.
        """
        fed = self._feed("train").shapes(chunk)
        whole = state.with_carry(jax.eval_shape(self._initialize, jax.random.key(0)), self._carry_shapes())
        arguments = {**fed.arguments, "learning_rate_scale": jax.ShapeDtypeStruct((), np.float32)}
        return self._train_function(chunk.length, self.optimizer.stages[-1]), (whole, fed.data, arguments)

    def evaluation_program(self, split: str, chunk: Chunk, *, keep: bool = False) -> tuple[Any, tuple[Any, ...]]:
        """Likewise that of :meth:`evaluate`; with ``keep``, of :meth:`evaluate_keeping`."""
        feed = self._feed(split)
        _, data, arguments = feed.shapes(chunk)
        function = self._eval_function(chunk.length, keep, feed.resident)
        return function, (self.variables, self._carry_shapes(), data, arguments)

    # Evaluation

    def evaluate(self, variables: Any, split: str) -> dict[str, float]:
        """The task's metrics of a whole split, every example counted once.

        Args:
          variables: the model's variables.
          split: ``train``, ``validation`` or ``test``.
        """
        if self.task.looks_at_rows:
            return self.evaluate_keeping(variables, split)[0]
        return self.task.finish(self._totals(variables, split, lambda chunk, kept: None, keep=False))

    def evaluate_keeping(self, variables: Any, split: str) -> tuple[dict[str, float], dict[str, Any], Any]:
        """As :meth:`evaluate`, with what the task keeps of the split.

        Returns:
          The metrics, the sums that they are of, and what was kept, on the host: a tree of ``[N, ...]`` in the split's
          order; on every host, all of it. None where the task keeps nothing.
        """
        examples, out = len(self.dataset.split(split)), []

        def place(chunk: Chunk, kept: Any) -> None:
            rows = jax.tree.map(lambda leaf: self.parallel.unshard(leaf), self.parallel.to_host(kept))
            if not out:
                out.append(jax.tree.map(lambda leaf: np.zeros((examples, *leaf.shape[2:]), leaf.dtype), rows))
            for whole, part in zip(jax.tree.leaves(out[0]), jax.tree.leaves(rows), strict=True):
                whole[chunk.rows[chunk.mask]] = part[chunk.mask]

        totals = self._totals(variables, split, place, keep=True)
        metrics = {**self.task.finish(totals), **self.task.finish_kept(out[0], self.dataset.spec)}  # no split is empty
        return metrics, totals, out[0]

    def _totals(
        self, variables: Any, split: str, place: Callable[[Chunk, Any], None], *, keep: bool
    ) -> dict[str, np.ndarray]:
        feed, variables = self._feed(split), self.parallel.replicate(variables)
        carry = self.fresh_carry()
        total: dict[str, Any] = {}

        def absorb(chunk: Chunk, made: Any) -> None:
            for name, value in made[0].items():
                total[name] = total.get(name, 0.0) + np.asarray(value, np.float64)
            place(chunk, made[1])

        pending: tuple[Chunk, Any] | None = None
        for chunk, data, arguments in feed(self.eval_plan(split)):
            key = ("keep" if keep else "eval", chunk.length, chunk.rows.shape)
            function = self._eval_function(chunk.length, keep, feed.resident)
            *made, carry = self._call((*key, feed.resident), function, variables, carry, data, arguments)
            # Fetched one call late, so that the devices have work meanwhile.
            if pending is not None:
                absorb(*pending)
            pending = chunk, made
        if pending is not None:
            absorb(*pending)
        return total

    # How it is put together

    def _check_sizes(self, batch_size: int) -> None:
        self.parallel.check_batch(batch_size)
        check_parts(self.experiment.train.accumulate, batch_size, self.parallel.device_count)
        if batch_size > len(self.dataset.train):
            raise UsageError(
                f"a batch of {batch_size} is larger than the training split of {len(self.dataset.train)} examples; "
                "give a smaller --data.batch-size"
            )

    def _sizes(self) -> dict[str, int]:
        return {
            "batch_size": self.experiment.data.batch_size,
            "steps_per_call": self.experiment.train.steps_per_call,
        }

    def _make_recipe(self) -> step.Recipe:
        dataset, section = self.dataset, self.optimizer.section
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        check_call(self.model, dataset)
        check_views(self.model, dataset)
        with tracing_for(self.parallel.platform), reporting() as self.implementations:
            outputs, variables = jax.eval_shape(
                lambda: self.model.init_with_output(rngs, **dataset.spec.zeros(), train=True)
            )
        check_outputs(self.model, self.task, dataset, outputs, variables)
        check_sums(self.task, dataset, outputs)
        check_groups(section.groups, variables["params"])
        check_still(self.model, self.optimizer, variables["params"])
        return step.Recipe(
            model=self.model,
            task=self.task,
            arguments=tuple(dataset.spec.inputs),
            timed=dataset.train.timed,
            on_device=dataset.preprocess.on_device,
            augment=self.experiment.data.augment(dataset),
            optimizer=self.optimizer.transform,
            ema_decay=section.ema_decay,
            groups=self.optimizer.in_stage(1)[0],
            gradients=self._gradients(section),
            accumulate=self.experiment.train.accumulate,
            axis_name=self.parallel.axis_name,
        )

    def _gradients(self, section: Any) -> Gradients:
        """The part of the recipe that the optimizer's section names."""
        if not section.adversarial:
            return plain_gradients
        if section.adversarial_by == "loss":
            return adversarial_gradients(section.adversarial, self.total_steps)
        if self.experiment.train.accumulate > 1:
            raise UsageError(
                "virtual adversarial training counts the rows of a batch as a whole: leave out --train.accumulate, or "
                "take --optim.adversarial-by loss"
            )
        return virtual_gradients(section.adversarial, self.total_steps)

    def _initial_carry(self, like: state.TrainState) -> Any:
        """The carry of a batch's rows at a stream's beginning, the same for all seeds; None where there is none."""
        if like.carry is None:
            return None
        check_order(self.model, self.dataset)
        one = jax.jit(lambda: self._initialize(jax.random.key(0)).carry)()
        return roles.fresh(one, self.experiment.data.batch_size)

    def _carry_shapes(self) -> Any:
        devices, local = self.parallel.device_count, len(self.parallel.devices)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((local, leaf.shape[0] // devices, *leaf.shape[1:]), leaf.dtype),
            self._carry,
        )

    def _feed(self, split: str) -> Feed:
        if split not in self._feeds:
            data = self.experiment.data
            examples: Examples = self.dataset.split(split)
            self._feeds[split] = Feed(examples, self.parallel, data.device_budget_mib * 2**20, data.workers)
        return self._feeds[split]

    def _train_key(self, fed: Fed) -> tuple[Any, ...]:
        """What tells the program of a call of training from others; its last part is the stage."""
        stage = self.optimizer.stage(int(fed.arguments["epoch"]) + 1)
        return "train", fed.chunk.length, fed.chunk.rows.shape, stage

    def _train_function(self, length: int | None, stage: int = 1) -> Callable:
        groups, optimizer = self.optimizer.in_stage(stage)
        recipe = dataclasses.replace(self._recipe, groups=groups, optimizer=optimizer)
        function = functools.partial(step.train_chunk, recipe, length)
        axes = (self._axes, self._feed("train").data_axis, CHUNK_AXES | {"learning_rate_scale": None})
        return self._spread(("train", length, stage), function, axes, (self._axes, None), donate=(0,))

    def _eval_function(self, length: int | None, keep: bool, resident: bool) -> Callable:
        function = functools.partial(step.eval_chunk, self._recipe, length, keep)
        carry = None if self._axes is None else 0
        axes = (None, carry, None if resident else 0, CHUNK_AXES)
        return self._spread(("eval", length, keep, resident), function, axes, (None, None, carry))

    def _spread(self, key: Any, function: Callable, axes: Any, out: Any, donate: tuple[int, ...] = ()) -> Callable:
        if key not in self._functions:
            precise = at_precision(getattr(self.model, "precision", "default"), function)
            self._functions[key] = self.parallel.spread(precise, axes, out, donate)
        return self._functions[key]

    def _call(self, key: Any, function: Callable, *arguments: Any) -> Any:
        if key in self._called:
            return function(*arguments)
        start = time.perf_counter()
        result = jax.block_until_ready(function(*arguments))
        self.compile_seconds += time.perf_counter() - start
        self._called.add(key)
        return result


def made_model(model: Any, spec: Any, task: Task) -> nn.Module:
    """The Linen module that a section makes, or that was handed over."""
    return model.build(spec, task.width(spec)) if hasattr(model, "build") else model
