"""Element by element: comparisons, arithmetic, special functions, activations."""
