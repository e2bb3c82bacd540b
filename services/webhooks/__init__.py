"""Outgoing webhooks: who is told, when it is tried again, when it is given up."""
