"""Stored samples whose rules change: what a dry run says, and what an activation does."""
