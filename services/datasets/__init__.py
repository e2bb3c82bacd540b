"""Datasets: selections, splits, immutable versions, and what differs between them."""
