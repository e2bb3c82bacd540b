"""Search by words and filters."""
