"""Queues, leases, decisions, adjudication."""
