"""Taxonomies: classes, what they are called, what they are kinds of, and where they may be used."""
