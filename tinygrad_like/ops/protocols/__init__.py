"""What NumPy, DLPack and Python call: NumPy's further names, its options, its protocols."""
