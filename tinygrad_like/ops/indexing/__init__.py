"""Elements picked, set and put in other places: indexing, stacking, padding, windows."""
