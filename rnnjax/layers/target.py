"""The platform that a program is traced for, which may be another than the one that traces it."""

import contextlib

import jax

# JAX keeps what it traced under this value too: a function traced for one platform is not taken for another.
_TARGET = jax.make_user_context(None)


def platform() -> str:
    """``"cpu"``, ``"gpu"`` or ``"tpu"``: what is traced here will run on it. By default JAX's default backend."""
    return _TARGET.value or jax.default_backend()


def tracing_for(name: str) -> contextlib.AbstractContextManager[None]:
    """What is traced in the block, is traced for that platform.

    Args:
      name: of devices, such as ``jax.devices("cpu")[0].platform`` where there is a GPU too, or those of a machine that
        is compiled for and is not there.
    """
    return _TARGET(name)
