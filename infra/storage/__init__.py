"""Assets: the guarded reader."""
