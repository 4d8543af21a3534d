"""Compiles small programs for an accelerator that is not there: ``python -m tests.ahead_programs tpu FOLDER``.

A process of its own, since what compiles for a TPU or a GPU is loaded once a process and says much on the terminal.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS = {"tpu": ("libtpu",), "gpu": ("jax_cuda12_plugin", "jax_plugins.xla_cuda12", "nvidia.cuda_nvcc")}
# NVIDIA's published figures of the H200, as XLA's GpuTargetConfigProto.
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 4800000000000 l2_cache_size: 62914560
  clock_rate_ghz: 1.98 device_memory_size: 150000000000 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 } registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 } runtime_version { major: 12 minor: 8 patch: 0 }
device_description_str: "NVIDIA H200"
"""
DEVICES, STEPS, ROWS, WIDTH, FEATURES = 4, 50, 16, 24, 128


def compiled_for(platform: str, folder: Path, module: str = "tests.ahead_programs") -> dict[str, str]:
    """The texts by their names; a skip where a package is missing that compiles for ``platform``."""
    for name in NEEDS[platform]:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{name}, with which JAX compiles for a {platform.upper()}, is not installed")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "0"
    command = [sys.executable, "-m", module, platform, str(folder)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.hlo")}


def compile_only(platform: str) -> list:
    """Four devices that can be compiled for."""
    from jax.experimental import topologies

    if platform == "tpu":
        return list(topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices)
    return list(
        topologies.get_topology_desc(
            platform="cuda", topology_name="h200", target_config=H200, topology="1x1x4"
        ).devices
    )


def gradient(implementation: str, devices: list):
    """The LSTM layer's loss and gradient, summed over the devices, and the shapes of its arguments."""
    import jax
    import jax.numpy as jnp

    from rnnjax.layers.cells import LSTMCell
    from rnnjax.layers.recurrence import RNN

    layer = RNN(LSTMCell(FEATURES), implementation=implementation)
    inputs = jax.ShapeDtypeStruct((len(devices), ROWS, STEPS, WIDTH), jnp.float32)
    variables = jax.eval_shape(layer.init, jax.random.key(0), jax.ShapeDtypeStruct(inputs.shape[1:], jnp.float32))

    def run(variables, inputs):
        loss = jax.value_and_grad(lambda variables: (layer.apply(variables, inputs)[1] ** 2).sum())
        return jax.lax.psum(loss(variables), "batch")

    return jax.pmap(run, "batch", in_axes=(None, 0), out_axes=None, devices=devices), (variables, inputs)


def swapping(carry, index):
    """A step that swaps two buffers after it has written into one: XLA can only copy them."""
    first, second = carry
    return (second.at[index].set(first[index] * 2), first), None


def _main(platform: str, folder: Path) -> None:
    import jax
    import jax.numpy as jnp
    from jax.sharding import SingleDeviceSharding

    devices = compile_only(platform)
    for implementation in ("fused", "scan"):
        run, shapes = gradient(implementation, devices)
        text = run.lower(*shapes).compile().as_text()
        (folder / f"lstm_{implementation}.hlo").write_text(text, encoding="utf-8")
    buffer = jax.ShapeDtypeStruct((200, 8, 4), jnp.float32, sharding=SingleDeviceSharding(devices[0]))
    run = jax.jit(lambda carry: jax.lax.scan(swapping, carry, jnp.arange(200)))
    (folder / "swap.hlo").write_text(run.lower((buffer, buffer)).compile().as_text(), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
