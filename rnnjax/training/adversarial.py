"""Adversarial training: the loss also where a small move of the inputs makes it largest (Miyato et al. 2017).

The model says what may be moved, by :func:`rnnjax.layers.movable.movable`; the train step finds out where to, by
:func:`towards`. Of a text, the embeddings of its words are moved: words themselves cannot move a little.

Virtual adversarial training asks no label: the move is where the answers change most (:func:`virtual_gradients`).

Miyato, Dai and Goodfellow, "Adversarial training methods for semi-supervised text classification", ICLR 2017,
arXiv:1605.07725. There embeddings are normalised, so that a move has a scale to be small on. Here a move is measured in
the norm of what it moves, and embeddings are free. There a language model is trained first; here a move grows over the
training: against a model that knows nothing yet, a full one undoes what every step learns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.movable import COLLECTION, norm_of_each

Array = jax.Array


class OfBatch(NamedTuple):
    """What a batch asks of the parameters, in which perturbations ``moved`` may be left empty.

    Attributes:
      objective: ``objective(params, moved)`` is the loss, and what goes with it.
      answers: ``answers(params, moved)`` are the model's outputs.
      apart: ``apart(answers, others)`` is how far the one are from the other, in the mean over the batch's rows.
      call: ``call(mutable=[...])`` applies the model.
      step: the step's number, counted from 0.
      key: for what is drawn.
    """

    objective: Callable[[Any, Any], tuple[Array, Any]]
    answers: Callable[[Any, Any], Any]
    apart: Callable[[Any, Any], Array]
    call: Callable[..., Any]
    step: Array
    key: Array


Gradients = Callable[[OfBatch, Any], tuple[Any, Any]]
"""From a batch and the parameters to the gradients with respect to them, and what goes with the objective."""


def plain_gradients(batch: OfBatch, params: Any) -> tuple[Any, Any]:
    """The gradients of the inputs as they are."""
    return jax.grad(batch.objective, has_aux=True)(params, {})


def adversarial_gradients(size: float, steps: int) -> Gradients:
    """The mean of the gradients of the inputs as they are and of the inputs moved; metrics are of the former.

    Args:
      size: of the move at the last step, see :func:`growing`.
      steps: of the training.
    """

    def gradients(batch: OfBatch, params: Any) -> tuple[Any, Any]:
        unmoved = none_yet(batch.call)
        (straight, uphill), aux = jax.grad(batch.objective, argnums=(0, 1), has_aux=True)(params, unmoved)
        moved = jax.lax.stop_gradient(towards(uphill, growing(size, steps)(batch.step)))
        others, _ = jax.grad(batch.objective, has_aux=True)(params, moved)
        return jax.tree.map(lambda a, b: (a + b) / 2, straight, others), aux

    return gradients


def virtual_gradients(size: float, steps: int) -> Gradients:
    """The gradients of the objective, and of how far the answers to moved inputs are from those to the inputs.

    Where to is found by one power iteration (Miyato et al. 2017, equations 8 to 10): at a random move of ``size``, the
    gradient of the distance leads to where it grows fastest. Neither needs a label: rows without one learn too.

    Args:
      size, steps: as for :func:`adversarial_gradients`.
    """

    def gradients(batch: OfBatch, params: Any) -> tuple[Any, Any]:
        unmoved = none_yet(batch.call)
        straight, aux = jax.grad(batch.objective, has_aux=True)(params, {})
        before = jax.lax.stop_gradient(batch.answers(params, {}))

        def distance(params: Any, moved: Any) -> Array:
            return batch.apart(before, batch.answers(params, moved))

        uphill = jax.grad(distance, argnums=1)(params, towards(random_like(batch.key, unmoved), size))
        moved = jax.lax.stop_gradient(towards(uphill, growing(size, steps)(batch.step)))
        others = jax.grad(distance)(params, moved)
        return jax.tree.map(jnp.add, straight, others), aux

    return gradients


def random_like(key: Array, tree: Any) -> Any:
    """Standard normal numbers in the place of each leaf's."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    )


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
