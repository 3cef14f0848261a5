"""Recurrent layers over whole sequences: `kernels.py` has the kernels.

arguments.py   the arguments of the compiled passes
cells.py       one step of a cell, and its gradient
forward.py     all steps of a layer
backward.py    the gradients, from the last step to the first
"""
