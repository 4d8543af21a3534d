"""Adversarial training: the loss also where a small move of the inputs makes it largest (Miyato et al. 2017).

The model says what may be moved, by :func:`rnnjax.layers.movable.movable`; the train step finds out where to, by
:func:`towards`. Of a text, the embeddings of its words are moved: words themselves cannot move a little.

Miyato, Dai and Goodfellow, "Adversarial training methods for semi-supervised text classification", ICLR 2017,
arXiv:1605.07725. There embeddings are normalised, so that a move has a scale to be small on. Here a move is measured in
the norm of what it moves, and embeddings are free. There a language model is trained first; here a move grows over the
training: against a model that knows nothing yet, a full one undoes what every step learns.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.movable import COLLECTION, norm_of_each

Array = jax.Array


Gradients = Callable[..., tuple[Any, Any]]
"""``gradients(objective, params, step, call)`` gives the gradients with respect to the parameters, and what goes with
them. ``objective(params, moved)`` is a loss and that, with the perturbations ``moved``; ``step`` is the step's number
and ``call(mutable=[...])`` applies the model."""


def plain_gradients(objective: Callable, params: Any, step: Array, call: Callable) -> tuple[Any, Any]:
    """The gradients of the inputs as they are."""
    del step, call
    return jax.grad(objective, has_aux=True)(params, {})


def adversarial_gradients(size: float, steps: int) -> Gradients:
    """The mean of the gradients of the inputs as they are and of the inputs moved; metrics are of the former.

    Args:
      size: of the move at the last step, see :func:`growing`.
      steps: of the training.
    """

    def gradients(objective: Callable, params: Any, step: Array, call: Callable) -> tuple[Any, Any]:
        unmoved = none_yet(call)
        (straight, uphill), aux = jax.grad(objective, argnums=(0, 1), has_aux=True)(params, unmoved)
        moved = jax.lax.stop_gradient(towards(uphill, growing(size, steps)(step)))
        others, _ = jax.grad(objective, has_aux=True)(params, moved)
        return jax.tree.map(lambda a, b: (a + b) / 2, straight, others), aux

    return gradients


def growing(size: float, steps: int) -> Callable[[Array], Array]:
    """From a step's number, 0-based, to the size of its move, which grows linearly to ``size`` at the last."""
    return lambda step: size * (step + 1) / steps


def none_yet(call: Callable[..., Any]) -> dict[str, Any]:
    """The perturbation by zero of everything movable.

    Args:
      call: ``call(mutable=[...])``, which applies the model to a batch.

    Raises:
      UsageError: if the model has nothing movable.
    """
    shapes = jax.eval_shape(lambda: call(mutable=[COLLECTION])[1]).get(COLLECTION)
    if not shapes:
        raise UsageError(
            "adversarial training needs a model that calls rnnjax.layers.movable.movable on what may be moved"
        )
    return {COLLECTION: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dict(shapes))}


def towards(gradients: Any, size: float | Array) -> Any:
    """The perturbation of each example by ``size`` along its gradient; zero where the gradient is."""

    def direction(gradient: Array) -> Array:
        # Of an example that the model is sure of, the gradient is so small that its squares are zero.
        most = jnp.abs(gradient).max(tuple(range(1, gradient.ndim)), keepdims=True)
        least = jnp.finfo(gradient.dtype).tiny
        scaled = jnp.where(most > least, gradient / jnp.maximum(most, least), 0)
        return scaled / jnp.maximum(norm_of_each(scaled), 1)

    return jax.tree.map(lambda gradient: size * direction(gradient), gradients)
