"""The typed outer contract: samples, labels, findings, events."""
