"""Benchmarks: `python -m bench NAME`. Each opponent runs in a process of its own."""
