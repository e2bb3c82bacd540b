"""Notes of people on samples."""
