"""The sections ``optim``, ``train`` and ``parallel``: how it is trained, how long, and on what devices."""

import math
import re
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, positive, rate, runtime
from rnnjax.config.groups import Group
from rnnjax.errors import UsageError

Optimizer = Literal["sgd", "adam", "adamw"]
Log = Literal["tensorboard", "wandb"]
Schedule = Literal["constant", "cosine", "one-cycle", "plateau"]
ClassWeights = Literal["none", "balanced"]
AdversarialBy = Literal["loss", "answers"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Loss and optimizer.

    The schedule says how the learning rate falls: not at all (constant), along a cosine to 0 (cosine), as one cycle, up
    for 30 % of the steps, then down along a cosine (one-cycle; Smith and Topin 2017), or whenever validation gets no
    better, by the headline metric and among equals by loss (plateau).

    Of the groups, the first pattern that is found counts, a regular expression that is searched in a parameter's path
    such as recurrent/layers_0/cell/input_kernel. A batch norm whose parameters are all frozen keeps its statistics, and
    normalises by them in training too. FACTOR@EPOCH freezes before that epoch, counted from 1, and is the factor from
    then on (gradual unfreezing, Howard and Ruder 2018); momentum and Adam's moments begin there too.

    Adversarial training (Miyato et al. 2017): half of the training loss is of inputs that were moved to where it is
    larger, in the end by that share of their norm and before by less; a text's embeddings are what moves. A step takes
    about twice as long.
    """

    section: ClassVar[str] = "optim"
    optimizer: Optimizer = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Schedule = "one-cycle"
    """How the learning rate falls."""
    warmup_fraction: float = option(0.0, rare=True)
    """Share of all steps over which the constant, cosine and plateau schedules rise linearly from 0."""
    plateau_factor: float = option(0.1, rare=True)
    """The plateau schedule multiplies the learning rate by this."""
    plateau_patience: int = option(5, rare=True)
    """It does so after this many epochs without a better validation, and again after as many more."""
    plateau_least: float = option(1e-3, rare=True)
    """Share of the learning rate below which the plateau schedule does not go."""
    momentum: float = option(0.9, rare=True)
    """Momentum of sgd."""
    groups: tuple[str, ...] = option((), rare=True)
    """PATTERN=FACTOR[@EPOCH]: factor of the learning rate where the path has the pattern; 0: frozen, @: until EPOCH."""
    weight_decay: float = 0.0
    """Decoupled, of adamw, or L2's gradient; not of biases."""
    clip_norm: float = option(1.0, rare=True)
    """Global norm to clip gradients to; 0: not at all."""
    label_smoothing: float = option(0.0, of_task=True)
    """Share of probability spread over all classes."""
    class_weights: ClassWeights = option("none", rare=True, of_task=True)
    """Training loss by class: balanced weighs each by its inverse frequency, in the mean 1, so that rare ones count."""
    sampled_tokens: int = option(0, rare=True, of_task=True)
    """A language model's training loss is of the target and so many other tokens that stand for the rest; 0: of all."""
    language_weight: float = option(0.0, rare=True, of_task=True)
    """What a language model's loss on the same documents is multiplied by, beside the classifier's; 0: none."""
    adversarial: float = option(0.0, rare=True)
    """Half of the training loss is of inputs moved by up to this share of their norm to where it is larger; 0: none."""
    adversarial_by: AdversarialBy = option("loss", rare=True)
    """What a move makes larger: the loss, or the distance of the answers, then added as a loss that needs no label."""
    ema_decay: float = 0.0
    """Decay a step of averages to evaluate with; 0: none."""

    def build(self, steps: int, epoch: int = 1) -> Any:
        """The optax transformation for a training of so many steps, as it is in an epoch, counted from 1."""
        from rnnjax.training.optim import make_optimizer

        return make_optimizer(self, steps, epoch)

    def learning_rates(self, steps: int) -> Any:
        """The learning rate by step, a function."""
        from rnnjax.training.optim import make_schedule

        return make_schedule(self, steps)

    def __post_init__(self):
        choice(self, "optimizer", Optimizer)
        choice(self, "schedule", Schedule)
        choice(self, "class_weights", ClassWeights)
        choice(self, "adversarial_by", AdversarialBy)
        check(0 < self.learning_rate < float("inf"), self, "learning_rate", "positive and finite")
        for name in ("warmup_fraction", "momentum", "label_smoothing", "ema_decay"):
            rate(self, name)
        check(0 < self.plateau_factor < 1, self, "plateau_factor", "between 0 and 1")
        positive(self, "plateau_patience")
        check(0 <= self.plateau_least <= 1, self, "plateau_least", "between 0 and 1")
        for group in self.groups:
            _check_group(self, group)
        check(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        check(self.clip_norm >= 0, self, "clip_norm", "0 or more")
        check(self.sampled_tokens >= 0, self, "sampled_tokens", "0 or more")
        check(0 <= self.language_weight < float("inf"), self, "language_weight", "0 or more, and finite")
        check(0 <= self.adversarial < float("inf"), self, "adversarial", "0 or more, and finite")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length of the training and what it leaves behind.

    Progress, Ctrl-C and checkpoints happen between compiled calls, so that fewer steps in each answer sooner; more save
    what a call itself costs, which counts where a step is very short.

    Within epochs, validation is due at the end of the first compiled call that reaches a multiple of so many steps: its
    row in metrics.jsonl has a fractional epoch, and training metrics of the epoch so far. The best checkpoint may be
    one of those; patience and the plateau schedule then count evaluations without a better validation, not epochs.

    A batch that is worked through in parts makes the same update as at once: gradients are added up, and divided by the
    weight of all its targets. But dropout draws other numbers, a batch norm normalises by the statistics of a part,
    over all devices, and moves its averages once a part, and a loss that looks at a batch as a whole sees a part.

    A better validation is one by the headline metric, or the one named here, and among equals by loss. Of data of one's
    own, where one class has more than two thirds of the training examples, it is by macro F1 unless another is named.

    A search that chooses by validation leaves the test split alone (--train.no-test); the same command without that
    tests the finished run.

    An audit finds machines that compute wrong: a difference in a single bit ends the run with exit code 3. It costs one
    call in so many.
    """

    section: ClassVar[str] = "train"
    epochs: int = 10
    """Passes over the training split."""
    best: str = option("", rare=True, of_task=True)
    """Metric of validation that chooses the best checkpoint: accuracy, macro_f1, auc or loss; unset: what fits."""
    patience: int = 0
    """Stop after so many epochs that were no better; 0: never."""
    evaluate_every: int = option(0, rare=True)
    """Validate also within epochs, after so many steps each; 0: not. Patience then counts evaluations, not epochs."""
    steps_per_call: int = option(16, rare=True)
    """Most steps in one compiled call."""
    accumulate: int = option(1, rare=True)
    """Parts in which each batch is worked through, for the memory of one of them; batch norm sees a part at a time."""
    until: float | None = field(default=None, metadata={"json": "until_accuracy"})
    """Stop when validation's headline metric (accuracy: 0..1) reaches this."""
    test: bool = runtime(True, off="Leave the test split alone, as a search must.")
    """Evaluate the best checkpoint on the test split at the end."""
    save_minutes: float = runtime(10.0, rare=True)
    """Minutes between checkpoints within an epoch; every epoch's end saves one in any case."""
    log: tuple[Log, ...] = runtime(("tensorboard",), rare=True)
    """Where metrics go beside metrics.jsonl; wandb is Weights & Biases, where that is installed."""
    profile: bool = runtime(False, rare=True, off="Take no profile.")
    """Trace a few compiled steps into the work folder's profile, for TensorBoard or ui.perfetto.dev."""
    audit: int = runtime(0, rare=True)
    """Compute every so many-th call twice, and compare the devices' parameters; 0: never."""
    compilation_cache: bool = runtime(True, rare=True, off="Keep no compiled programs for later runs.")
    """Keep compiled programs for later runs, in the folder xla of RNNJAX_CACHE_DIR, or else of ~/.cache/rnnjax."""

    def __post_init__(self):
        positive(self, "epochs")
        positive(self, "steps_per_call")
        positive(self, "accumulate")
        check(self.evaluate_every >= 0, self, "evaluate_every", "0 or more steps")
        check(self.patience >= 0, self, "patience", "0 or more epochs")
        check(self.until is None or math.isfinite(self.until), self, "until", "a finite number")
        known = typing.get_args(Log)
        check(set(self.log) <= set(known), self, "log", f"some of {', '.join(known)}")
        check(self.save_minutes > 0, self, "save_minutes", "positive")
        check(self.audit >= 0, self, "audit", "0 or more calls")


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Devices.

    Under Slurm, Open MPI or Kubernetes and on TPUs JAX finds the other hosts by itself, if it is to join them.
    Elsewhere a coordinator, the number of processes and each one's own number are given together.
    """

    section: ClassVar[str] = "parallel"
    cpu_devices: int | None = None
    """Devices to split a CPU into; unset: by the batch."""
    distributed: bool = option(False, rare=True, local=True, off="Train on this host alone.")
    """Join the other hosts of this run before anything else."""
    coordinator: str | None = option(None, rare=True, local=True)
    """HOST:PORT, an address of the host of process 0 and a free port of it, the same on all hosts."""
    processes: int | None = option(None, rare=True, local=True)
    """Number of processes of this run, one a host, the same on all hosts."""
    process_id: int | None = option(None, rare=True, local=True)
    """Number of this host's process, from 0, another one on each host."""
    join_timeout: int = option(120, rare=True)
    """Seconds for which the hosts wait at the start until all of them are there."""
    heartbeat: int = option(30, rare=True)
    """Seconds without a sign of life after which a host counts as dead and the others end; the same command resumes."""

    def __post_init__(self):
        if self.cpu_devices is not None:
            positive(self, "cpu_devices")
        positive(self, "join_timeout")
        positive(self, "heartbeat")
        self._check_coordinator()

    @property
    def several_hosts(self) -> bool:
        """Whether this process joins others."""
        return self.distributed or self.coordinator is not None

    def _check_coordinator(self) -> None:
        options = {"coordinator": self.coordinator, "processes": self.processes, "process-id": self.process_id}
        missing = [f"--parallel.{name}" for name, value in options.items() if value is None]
        if self.coordinator is None or self.processes is None or self.process_id is None:
            if len(missing) < len(options):
                raise UsageError(
                    f"{' and '.join(missing)} missing: --parallel.coordinator, --parallel.processes and "
                    "--parallel.process-id go together"
                )
            return
        host, _, port = self.coordinator.rpartition(":")
        named = bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
        check(named, self, "coordinator", "HOST:PORT with a port from 1 to 65535")
        positive(self, "processes")
        valid = 0 <= self.process_id < self.processes
        check(valid, self, "process_id", f"from 0 to {self.processes - 1} with --parallel.processes {self.processes}")


def _check_group(config: Any, group: str) -> None:
    try:
        ok = bool(Group.of(group))
    except (re.error, ValueError):
        ok = False
    wanted = "REGULAR-EXPRESSION=FACTOR with a factor of 0 or more each, or =FACTOR@EPOCH with one above 0"
    check(ok, config, "groups", wanted)
