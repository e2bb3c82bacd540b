"""Temporal: client, worker, dispatcher."""
