"""2-D convolution and its gradients: `kernels.py` has the kernels and chooses the algorithm."""
