"""Latency of the review queue, beside a bare statement in the same run."""
