"""What every CPU kernel stands on: vectors, threads, memory, and how it is compiled.

simd.py        vectors as values of compiled code, and what this CPU's registers hold
apart.py       vectors of elements that lie apart in memory
threads.py     the pool of threads that share a kernel's work
memory.py      a pool that reuses the memory of freed arrays
compile.py     how a kernel is compiled, and where its machine code is kept
shared_code.py functions that are compiled once and called by many kernels
fetch.py       bringing memory into the cache before it is needed
past_caches.py stores of large results that leave the caches alone
kernel.py      the decorators that register a kernel and say what it takes
"""
