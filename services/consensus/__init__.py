"""One label of several people's, with what stands behind it."""
