"""Connectors to the models that pre-label."""
