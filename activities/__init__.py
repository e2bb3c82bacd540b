"""Temporal activities: classes that take their ports in the constructor."""
