"""One module per step of the schema, named by when it was written and what it does."""
