"""Canonical records, lineage, the audit chain."""
