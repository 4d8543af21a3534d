"""Numbers that must be the same, and sentences about those that are not."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rnnjax.errors import RnnjaxError


def require(holds: bool, sentence: str) -> None:
    """Raises AssertionError with the sentence unless it holds; ``python -O`` does not leave it out."""
    if not holds:
        raise AssertionError(sentence)


@contextlib.contextmanager
def explained(sentence: str, *kinds: type[Exception]) -> Iterator[None]:
    """Makes an AssertionError of what is raised in the block: this package's errors, and the kinds that are named."""
    try:
        yield
    except AssertionError:
        raise
    except (RnnjaxError, *kinds) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise AssertionError(f"{sentence}: {said[0]}") from error


def difference(ours: Any, theirs: Any, tolerance: float) -> str | None:
    """Where two trees of arrays differ most, as the end of a sentence; None where they are the same.

    Args:
      ours: the tree that is judged.
      theirs: the tree that it must equal.
      tolerance: the difference that is allowed in an array, of its largest finite absolute value or of 1, whichever is
        more. Infinities and NaN must stand where ``theirs`` has the same.
    """
    if jax.tree.structure(ours) != jax.tree.structure(theirs):
        return f"the trees are {jax.tree.structure(ours)} and {jax.tree.structure(theirs)}"
    worst, said = 1.0, None
    leaves = zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
    for (path, a), b in leaves:
        a, b = _wide(a), _wide(b)
        name = path_of(path)
        if a.shape != b.shape:
            return f"{name} has shape {list(a.shape)} and must have {list(b.shape)}"
        if not a.size:
            continue
        with np.errstate(invalid="ignore"):
            apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
        apart = np.where(np.isnan(apart), np.inf, apart)
        allowed = tolerance * max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0))
        place = np.unravel_index(apart.argmax(), apart.shape)
        if apart[place] > worst * allowed:
            worst = apart[place] / max(allowed, 1e-300)
            at = f" at {list(map(int, place))}" if place else ""
            said = f"{name}{at} is {a[place]:.6g} and must be {b[place]:.6g}, off by {apart[place]:.3g}"
    return said


def require_same(ours: Any, theirs: Any, tolerance: float, sentence: str) -> None:
    """Raises AssertionError with the sentence and the largest :func:`difference`, if there is one."""
    said = difference(ours, theirs, tolerance)
    require(said is None, f"{sentence}: {said}")


def require_slope(
    value: Callable[[Any], Any], gradients: Any, at: Any, exact: bool, rng: np.random.Generator, sentence: str
) -> None:
    """Raises AssertionError unless gradients are the slopes of central differences, in a random direction a leaf.

    Args:
      value: of a tree like ``at``, a scalar.
      gradients: at ``at``, a tree alike; of complex leaves as :func:`jax.grad` has them.
      at: a tree of arrays, of which those of floats and complex numbers are moved.
      exact: whether the value is computed in float64.
      rng: draws the directions.
      sentence: how the error begins.
    """
    # The larger step is for rounding, the smaller one for kinks: a wrong gradient is off by either.
    steps, tolerance = ((1e-5, 1e-6), 1e-5) if exact else ((1e-2, 1e-3), 2e-2)
    leaves, tree = jax.tree.flatten(at)
    paths = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(at)]
    for number, (path, leaf, gradient) in enumerate(zip(paths, leaves, jax.tree.leaves(gradients), strict=True)):
        leaf, gradient = np.asarray(leaf), np.asarray(gradient)
        if leaf.dtype.kind not in "fc" or not leaf.size:
            continue
        direction = rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if leaf.dtype.kind == "c" else 0)
        direction = direction / max(1.0, float(np.linalg.norm(direction)))
        claimed = float((gradient * direction).real.sum())
        slopes = []
        for step in steps:
            ends = [
                [*leaves[:number], (leaf + sign * step * direction).astype(leaf.dtype), *leaves[number + 1 :]]
                for sign in (1, -1)
            ]
            ahead, behind = (float(value(jax.tree.unflatten(tree, moved))) for moved in ends)
            slopes.append((ahead - behind) / (2 * step))
        near = min(slopes, key=lambda slope: abs(slope - claimed))
        require(
            abs(near - claimed) <= tolerance * max(1.0, abs(near)),
            f"{sentence}: in a random direction of {path}, the gradient says {claimed:.6g}, and central differences "
            f"of {'float64' if exact else 'float32'} {near:.6g}",
        )


def shown(named: dict[str, Any]) -> str:
    """What a sentence ends with: ``(rows=4, seed=0)``."""
    return f"({', '.join(f'{name}={value}' for name, value in named.items())})"


def path_of(keys: Any) -> str:
    """A leaf's place in its tree: ``params/cell/bias``."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def rows_of(tree: Any, rows: Sequence[int] | np.ndarray) -> Any:
    """The chosen rows of every array of a tree, as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.asarray(rows)], tree)


def _wide(leaf: Any) -> np.ndarray:
    leaf = np.asarray(leaf)
    return leaf.astype(np.complex128 if np.iscomplexobj(leaf) else np.float64)
