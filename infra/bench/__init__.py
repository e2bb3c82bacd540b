"""Measurements of the whole, by command."""
