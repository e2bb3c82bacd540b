"""Samples as they are read: where they are, what was found, what was committed."""
