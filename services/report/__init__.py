"""The report of a dataset: nine numbers, each with the list behind it."""
