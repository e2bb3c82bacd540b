"""Projects and what is configured for them."""
