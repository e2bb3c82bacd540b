"""Events in: the inbox."""
