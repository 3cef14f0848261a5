"""Sums, means and moments: `kernels.py` has the kernels.

small_sums.py   sums over copies, as of a gradient that was broadcast: few numbers, in any order
"""
