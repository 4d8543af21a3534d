"""Eight simulated CPU devices, set before the backend starts."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
