"""Products of matrices, their decompositions, functions and systems of equations."""
