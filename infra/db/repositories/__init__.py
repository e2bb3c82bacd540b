"""One repository per feature."""
