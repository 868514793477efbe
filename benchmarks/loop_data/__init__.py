"""Data and scoring of ``python -m benchmarks.loops``: generators of further kinds, labels, baselines."""
