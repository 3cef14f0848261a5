"""Ordered elements and their quantiles, statistics, random numbers."""
