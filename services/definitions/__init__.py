"""Projects as one document: planned, applied, and gone back from."""
