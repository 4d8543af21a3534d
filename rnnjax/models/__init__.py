"""Models put together from the layers, one kind a file."""
