"""Scaled dot-product attention in blocks that stay in the cache: `kernels.py` has the kernels.

arguments.py   what the compiled passes take
blocks.py      the products and sums of one block of queries and keys
weights.py     its masks, softmax and dropout
"""
