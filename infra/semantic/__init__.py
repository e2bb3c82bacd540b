"""Texts by their meaning: a sentence model on this machine, from an optional package."""
