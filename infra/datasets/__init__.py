"""Datasets as files: what is written, in parts that can be taken up again."""
