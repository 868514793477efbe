"""Measurements: ``python -m benchmarks.<name> [--quick]``; ratios against a baseline of the same run, not bare times."""
