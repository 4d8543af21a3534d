"""Compiles each program once in a process of tests, however many tests build the same one anew."""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
from jax._src import cache_key, compiler

KEPT = 512
"""Programs that are kept, those used last: what they hold is machine code of a few hundred kilobytes each."""


def install(applies: Callable[[], bool]) -> None:
    """Lets a process take a program that it has compiled before for the same text, options and devices.

    JAX's own memory goes by the function, and a test's function is a new one. Nothing is written or read back, as its
    cache in a folder would: what runs is the very program that was compiled. Where JAX has no such place, or it is
    another by now, all is compiled as ever.

    Args:
      applies: whether that is so now; while it is not, every program is compiled.
    """
    compile_ = getattr(compiler, "backend_compile_and_load", None)
    text_of, ignored = getattr(cache_key, "_canonicalize_ir", None), getattr(cache_key, "IgnoreCallbacks", None)
    if compile_ is None or text_of is None or ignored is None:
        return
    kept: OrderedDict[bytes, Any] = OrderedDict()

    @functools.wraps(compile_)
    def once(backend: Any, module: Any, devices: Any, options: Any, callbacks: Any) -> Any:
        # The tests of JAX's cache compare what is compiled with what is read; a callback is an object of its test.
        if callbacks or backend is not jax.devices("cpu")[0].client or _cache_in_a_folder() or not applies():
            return compile_(backend, module, devices, options, callbacks)
        text = hashlib.sha256(text_of(module, ignored.NO))
        text.update(b"\0" + options.SerializeAsString())  # with it the devices' assignment
        key = text.digest()
        if key not in kept:
            kept[key] = compile_(backend, module, devices, options, callbacks)
            if len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    compiler.backend_compile_and_load = once


def _cache_in_a_folder() -> bool:
    config: Any = jax.config  # its attributes are made as JAX is imported, and no type checker sees them
    return bool(config.jax_enable_compilation_cache)
