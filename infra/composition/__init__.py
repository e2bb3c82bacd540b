"""The one place that wires: what each process is made of, opened and closed in order; a module per process."""
