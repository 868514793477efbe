"""Measurements: ``python -m benchmarks.<name> [--quick]``; ratios to a baseline of the same run, not bare times."""
