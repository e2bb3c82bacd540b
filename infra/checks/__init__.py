"""Where the cross-modal checks run."""
