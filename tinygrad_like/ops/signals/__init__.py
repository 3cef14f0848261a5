"""Frequencies: the Fourier transform and spectrograms."""
