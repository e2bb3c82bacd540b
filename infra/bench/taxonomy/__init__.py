"""A taxonomy that renames, merges and splits classes under committed samples."""
