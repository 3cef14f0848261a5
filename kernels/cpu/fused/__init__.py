"""Fused loops: for each Loop (kernels/loop.py) a text for numba is written, compiled, and kept.

functions.py  every step of a loop as a function of compiled code
text.py       from a Loop to the text of its kernel
kernels.py    the kernel `fused`: finds or compiles the function of a loop, and calls it
"""
