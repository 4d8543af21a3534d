"""From a batch to a gradient, and from an epoch to the next: steps, devices, the loop and its checkpoints."""
