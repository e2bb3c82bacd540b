"""Protocols for what lies outside the product."""
