"""Pictures read through windows and at places between their pixels.

pool.py       the largest and the mean of windows, and windows that are added up
resample.py   other sizes, axis by axis
sampling.py   any places
"""
