"""Along an axis: sums and extremes, running ones, and many elements sent to one place."""
