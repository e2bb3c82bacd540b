"""Exports of large dataset versions, measured."""
