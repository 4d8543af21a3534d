"""What outputs mean: losses, metrics, reports and answers."""
