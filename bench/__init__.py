"""Benchmarks: `python -m bench.overhead`. Each opponent runs in a process of its own."""
