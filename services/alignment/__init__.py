"""The cross-modal checks."""
