"""A model, its data and its compiled steps, put together once and shared by all seeds of a process."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.config import Config, ImageData
from rnnjax.data import Dataset, Examples, TextPreprocess
from rnnjax.data.augment import Augment, image_augmentation
from rnnjax.data.plan import Chunk, eval_plan, steps_per_epoch, train_plan
from rnnjax.errors import UsageError
from rnnjax.layers.implementations import reporting
from rnnjax.layers.precision import at_precision
from rnnjax.tasks import losses, metrics
from rnnjax.training import state, step
from rnnjax.training.adversarial import growing
from rnnjax.training.feed import CHUNK_AXES, Feed
from rnnjax.training.identity import module_identity
from rnnjax.training.optim import check_groups, make_optimizer, make_schedule
from rnnjax.training.parallel import DataParallel


class Program:
    """What runs: feeds of the splits, and train and eval steps compiled when first called.

    Attributes:
      parallel: the devices.
      steps_per_epoch, total_steps: of the training.
      schedule: learning rate by step.
      implementations: which implementation each RNN of the model runs, by its path, as in
        ``{"recurrent/layers_0": "fused"}``.
      model_identity: what tells the model from others, as JSON; see :func:`rnnjax.training.identity.module_identity`.
      compile_seconds: time spent so far in first calls, one execution each included.
      input_seconds: time spent so far waiting for training data.
      streamed_step_rate: examples/s that the training steps take when their data are at hand, measured once an
        epoch where the training split is streamed; else None.
    """

    def __init__(self, config: Config, dataset: Dataset, model: nn.Module, devices: Any = None):
        self.config, self.dataset, self.model = config, dataset, model
        self.parallel = DataParallel(devices)
        self.compile_seconds = self.input_seconds = 0.0
        self.streamed_step_rate: float | None = None
        batch_size, train = config.data.batch_size, len(dataset.train)
        self.parallel.check_batch(batch_size)
        if batch_size > train:
            raise UsageError(
                f"a batch of {batch_size} is larger than the training split of {train} examples; "
                "give a smaller --data.batch-size"
            )
        self.steps_per_epoch = steps_per_epoch(self.train_plan(seed=0, epoch=0))
        self.total_steps = self.steps_per_epoch * config.train.epochs
        self.schedule = jax.jit(
            make_schedule(config.optim, self.total_steps)
        )  # one program instead of one an operation
        self._task = self._make_task()
        averaged = config.optim.ema_decay > 0
        self._initialize = jax.jit(
            state.initializer(model, self._task.optimizer, self._sample_inputs(), averaged=averaged)
        )
        fresh = jax.eval_shape(self._initialize, jax.random.key(0))
        self.model_identity = module_identity(model, {"params": fresh.params, **fresh.model_state})
        self._feeds: dict[str, Feed] = {}
        self._functions: dict[Any, Callable] = {}
        self._called: set[Any] = set()

    def train_plan(self, *, seed: int, epoch: int) -> list[Chunk]:
        """The chunks of one epoch of training."""
        return train_plan(seed=seed, epoch=epoch, **self._plan_arguments(self.dataset.train))

    def create_state(self, seed: int) -> state.TrainState:
        """A fresh training state, on the host.

        Raises:
          UsageError: if the seed is not an integer from 0 to 2**64 - 1.
        """
        return jax.tree.map(np.array, self._initialize(state.seed_key(seed)))

    def train_chunks(self, chunks: list[Chunk], epoch: int, *, seed: int = 0, learning_rate_scale: float = 1.0):
        """Yields ``(chunk, advance)`` with ``advance(state) -> (state, sums [K])``; the state is donated.

        Args:
          chunks: of the plan of that epoch.
          epoch: its number, which decides augmentation.
          seed: of the random crops of images that are decoded here.
          learning_rate_scale: what the schedule's learning rate is multiplied with.
        """
        feed, unmeasured = self._feed("train"), True
        stream = iter(feed(chunks, epoch, seed))
        while (fed := self._awaited(stream)) is not None:
            chunk, data, arguments = fed
            arguments["learning_rate_scale"] = np.float32(learning_rate_scale)
            key, function = ("train", chunk.length, chunk.rows.shape), self._function("train", feed, chunk)
            advance = functools.partial(self._call, key, function, data, arguments)
            if not feed.resident and unmeasured and key in self._called:
                advance, unmeasured = functools.partial(self._measured, chunk.examples, advance), False
            yield chunk, advance

    def _awaited(self, stream: Iterator[Any]) -> Any:
        start = time.perf_counter()
        fed = next(stream, None)
        self.input_seconds += time.perf_counter() - start
        return fed

    def _measured(self, examples: int, advance: Callable, state: Any) -> Any:
        # Nothing else runs on the devices: it is an epoch's first call, or the one before compiled and was waited for.
        start = time.perf_counter()
        result = jax.block_until_ready(advance(state))
        self.streamed_step_rate = examples / (time.perf_counter() - start)
        return result

    def evaluate(self, variables: Any, split: str) -> dict[str, float]:
        """Loss and accuracy of a whole split, every example counted once.

        Args:
          variables: the model's variables.
          split: ``train``, ``validation`` or ``test``.
        """
        feed = self._feed(split)
        variables = self.parallel.replicate(variables)
        total: dict[str, float] = {}
        pending: dict[str, Any] = {}
        for chunk, data, arguments in feed(eval_plan(**self._plan_arguments(getattr(self.dataset, split)))):
            function = self._function("eval", feed, chunk)
            sums = self._call(("eval", chunk.length, chunk.rows.shape), function, data, arguments, variables)
            # Fetched one call late, so that the devices have work meanwhile.
            total = {name: total.get(name, 0.0) + float(value) for name, value in pending.items()}
            pending = sums
        return metrics.scalars({name: total.get(name, 0.0) + float(value) for name, value in pending.items()})

    def evaluate_logits(self, variables: Any, split: str) -> tuple[dict[str, float], np.ndarray]:
        """As :meth:`evaluate`, with the logits of the split.

        Args:
          variables: the model's variables.
          split: ``train``, ``validation`` or ``test``.

        Returns:
          Loss and accuracy, and the logits on the host, ``[N, C]`` float32 in the split's order; on every host, all
          of them.
        """
        feed = self._feed(split)
        variables = self.parallel.replicate(variables)
        examples = getattr(self.dataset, split)
        out: np.ndarray | None = None
        total: dict[str, float] = {}
        for chunk, data, arguments in feed(eval_plan(**self._plan_arguments(examples))):
            function = self._function("logits", feed, chunk)
            key = ("logits", chunk.length, chunk.rows.shape)
            sums, shards = self._call(key, function, data, arguments, variables)
            total = {name: total.get(name, 0.0) + float(value) for name, value in sums.items()}
            logits = self.parallel.unshard(self.parallel.to_host(shards))
            out = np.zeros((len(examples), logits.shape[-1]), np.float32) if out is None else out
            out[chunk.rows[chunk.mask]] = logits[chunk.mask]
        return metrics.scalars(total), cast("np.ndarray", out)  # no split is empty

    def _make_task(self) -> step.Task:
        config, preprocess = self.config, self.dataset.preprocess
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        with reporting() as self.implementations:
            logits, variables = jax.eval_shape(
                lambda: self.model.init_with_output(rngs, **self._sample_inputs(), train=True)
            )
        self._check_model(logits, variables)
        check_groups(config.optim.groups, variables["params"])
        return step.Task(
            model=self.model,
            loss=losses.for_outputs(logits.shape[-1]),
            normalize=preprocess.normalize,
            augment=self._augmentation(),
            optimizer=make_optimizer(config.optim, self.total_steps),
            label_smoothing=config.optim.label_smoothing,
            ema_decay=config.optim.ema_decay,
            groups=config.optim.groups,
            adversarial=growing(config.optim.adversarial, self.total_steps) if config.optim.adversarial else None,
            axis_name=self.parallel.axis_name,
        )

    def _check_model(self, logits: Any, variables: Any) -> None:
        """Refuses what no loss fits, before anything compiles: broadcasting would make a wrong number of it.

        Args:
          logits: shapes of what the model answers for one example.
          variables: shapes of its variables.
        """
        classes = len(self.dataset.class_names)
        fitting = [(1, 1), (1, classes)] if classes == 2 else [(1, classes)]
        wanted = " or ".join(str(list(shape)) for shape in fitting)
        if not isinstance(logits, jax.ShapeDtypeStruct):
            got = f"a {type(logits).__name__}"
        else:
            got = f"{logits.dtype} {list(logits.shape)}"
            if logits.shape in fitting and jnp.issubdtype(logits.dtype, jnp.floating):
                got = ""
        if got:
            raise UsageError(
                f"{type(self.model).__name__} answers one example with {got}; logits of {classes} classes must be "
                f"floats {wanted}, a row an example"
            )
        if not jax.tree.leaves(variables.get("params", {})):
            raise UsageError(f"{type(self.model).__name__} has no parameters: there is nothing to train")

    def _augmentation(self) -> Augment | None:
        data, preprocess = self.config.data, self.dataset.preprocess
        if not isinstance(data, ImageData) or isinstance(preprocess, TextPreprocess):
            return None
        return image_augmentation(
            max_shift=data.max_shift,
            max_rotation=data.max_rotation,
            max_zoom=data.max_zoom,
            elastic=data.elastic,
            elastic_sigma=data.elastic_sigma,
            shift_padding=data.shift_padding,
            flip=data.flip,
            cutout=data.cutout,
            mean=preprocess.mean,
        )

    def _sample_inputs(self) -> dict[str, Any]:
        examples = self.dataset.train
        # Shapes alone matter: nothing is computed, and so nothing compiled, for them.
        like = jax.eval_shape(self.dataset.preprocess.normalize, np.asarray(examples.inputs[:1]))
        inputs = np.zeros(like.shape, like.dtype)
        return {"inputs": inputs} | ({} if examples.lengths is None else {"lengths": np.asarray(examples.lengths[:1])})

    def _plan_arguments(self, examples: Examples) -> dict[str, Any]:
        config = self.config
        return {
            "examples": len(examples),
            "batch_size": config.data.batch_size,
            "steps_per_call": config.train.steps_per_call,
            "lengths": examples.lengths,
            "buckets": self.dataset.bucket_lengths or getattr(config.data, "bucket_lengths", ()),
        }

    def _feed(self, split: str) -> Feed:
        if split not in self._feeds:
            budget = self.config.data.device_budget_mib * 2**20
            self._feeds[split] = Feed(getattr(self.dataset, split), self.parallel, budget, self.config.data.workers)
        return self._feeds[split]

    def _function(self, kind: str, feed: Feed, chunk: Chunk) -> Callable:
        key = (kind, chunk.length, feed.resident)
        if key not in self._functions:
            function = {"train": step.train_chunk, "eval": step.eval_chunk, "logits": step.logits_chunk}[kind]
            self._functions[key] = self.parallel.compile(
                at_precision(self.config.model.precision, functools.partial(function, self._task, chunk.length)),
                in_axes=(None, feed.data_axis, CHUNK_AXES | ({"learning_rate_scale": None} if kind == "train" else {})),
                out_axes=(None, None) if kind == "train" else None,
                donate=(0,) if kind == "train" else (),
            )
        return self._functions[key]

    def _call(self, key: Any, function: Callable, data: Any, arguments: Any, replicated: Any) -> Any:
        if key in self._called:
            return function(replicated, data, arguments)
        start = time.perf_counter()
        result = jax.block_until_ready(function(replicated, data, arguments))
        self.compile_seconds += time.perf_counter() - start
        self._called.add(key)
        return result
