"""What a training step will be on a machine that is not here: compiled ahead of time, read, and counted."""
