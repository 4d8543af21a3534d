"""What a factor of 0 in ``--optim.groups`` holds still, bit for bit: parameters, statistics, and averages of both.

Statistics are the variables in a model's other collections, such as batch norm's mean and variance. They follow the
parameters in the same module: they are frozen if all of those are. Where a module has statistics and no parameters,
they are frozen if a parameter of their path would be.

A frozen ``nn.BatchNorm`` normalises by its statistics in training too, as Keras' does; by those of the batch, what
comes after it would learn from other numbers than it is evaluated and used on.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from rnnjax.training.optim import factors


def frozen(groups: Sequence[str], variables: Any) -> dict[str, Any]:
    """Which variables are frozen.

    Args:
      groups: ``PATTERN=FACTOR`` each, as :func:`rnnjax.training.optim.factors` takes them.
      variables: collections by name, ``params`` among them; only their structure matters.

    Returns:
      Booleans in the structure of ``variables``.
    """
    # Statistics as if they were parameters, for a start.
    still = {name: jax.tree.map(lambda f: f == 0, factors(groups, tree)) for name, tree in variables.items()}
    beside = _by_module(still["params"])

    def of_statistic(path: Any, by_its_path: bool) -> bool:
        return all(beside.get(path[:-1], [by_its_path]))

    return {
        name: tree if name == "params" else jax.tree_util.tree_map_with_path(of_statistic, tree)
        for name, tree in still.items()
    }


def held(still: Any, before: Any, after: Any) -> Any:
    """``after``, with the leaves that are ``still`` taken from ``before``; all of one structure."""
    return jax.tree.map(lambda stays, old, new: old if stays else new, still, before, after)


def frozen_norms(still: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
    """In the block, each ``nn.BatchNorm`` with frozen statistics normalises by them, whatever it is told.

    Args:
      still: what :func:`frozen` gives.
    """
    modules = _by_module(still.get("batch_stats", {}))
    paths = {tuple(key.key for key in path) for path, stay in modules.items() if all(stay)}

    def intercept(call: Callable, args: Any, keywords: Any, context: nn.module.InterceptorContext) -> Any:
        norm = context.module
        if not isinstance(norm, nn.BatchNorm) or norm.use_running_average or norm.path not in paths:
            return call(*args, **keywords)
        running = norm.clone(parent=norm.scope, use_running_average=True)  # the same variables in evaluation's way
        return running(*args[:1], **{name: value for name, value in keywords.items() if name != "use_running_average"})

    return nn.intercept_methods(intercept) if paths else contextlib.nullcontext()


def _by_module(still: Any) -> dict[Any, list[bool]]:
    """The leaves of a collection by the path of the module that they lie in."""
    modules: defaultdict[Any, list[bool]] = defaultdict(list)
    for path, stays in jax.tree_util.tree_leaves_with_path(still):
        modules[path[:-1]].append(stays)
    return dict(modules)
