"""Code locations that benchmarks serve, each in a process of its own."""
