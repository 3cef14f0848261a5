"""Elementary functions and random words, for a scalar or a vector.

vector_math.py exp, log, tanh, erf and the like, without a branch
lookup.py      some of them again, from tables that lie in registers
each.py        loops that apply such a function to every element of an array
sums.py        sums along a row, whose runs move to float64
philox.py      random words from a key and a counter
"""
