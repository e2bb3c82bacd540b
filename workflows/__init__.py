"""Temporal workflow definitions: they decide and wait, nothing else."""
