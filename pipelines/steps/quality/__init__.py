"""Judging texts by published rules: which of them a corpus is better without."""
