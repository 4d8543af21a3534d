"""The product of all inputs with their kernel."""

import jax

from rnnjax.fused.loops import Array, kernel_gradient
from rnnjax.fused.reverse import reverse_mode_only


def project(inputs: Array, kernel: Array) -> Array:
    """``inputs @ kernel``: ``[..., D], [D, Z] -> [..., Z]``.

    The kernel's gradient is the product of two matrices with T * B rows; as JAX derives it, XLA
    first copies the larger one transposed.
    """
    return _project(*reverse_mode_only((inputs, kernel)))


@jax.custom_vjp
def _project(inputs: Array, kernel: Array) -> Array:
    return inputs @ kernel


def _project_forward(inputs, kernel):
    return inputs @ kernel, (inputs, kernel)


def _project_backward(residuals, d_projected):
    inputs, kernel = residuals
    return d_projected @ kernel.T, kernel_gradient(inputs, d_projected)


_project.defvjp(_project_forward, _project_backward)
