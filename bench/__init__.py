"""Benchmarks: each a ratio against what a user would take instead, measured side by side in one run."""
