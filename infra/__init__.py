"""The adapters, and the one place that wires them."""
