"""Real votes, replayed: how many of them are needed."""
