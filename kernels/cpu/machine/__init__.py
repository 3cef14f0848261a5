"""The machine below the kernels: what the CPU and its memory have, and how code for them is made.

simd.py        vectors as values of compiled code, and what this CPU's registers hold
threads.py     the pool of threads that share a kernel's work
memory.py      the memory of freed arrays, used again
compile.py     how a kernel is compiled, and where its machine code is kept
shared_code.py compiled functions that many kernels call and none contains
fetch.py       reading ahead of where memory is needed
kernel.py      the decorators that register a kernel and say what it takes
"""
