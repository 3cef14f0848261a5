"""Elementary functions and random words, for one number or a vector of them.

vector_math.py exp, log, tanh, erf and their kin, without a branch
lookup.py      the same from tables that lie in registers
each.py        loops that apply such a function to every element of an array
philox.py      random words from a key and a counter
"""
