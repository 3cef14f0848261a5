"""Benchmarks: `python -m bench NAME`. Each opponent runs in its own process."""
