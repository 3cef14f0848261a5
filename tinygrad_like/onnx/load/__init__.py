"""A file of ONNX as a Module.

    errors.py      what is raised
    dtypes.py      the dtypes of ONNX as NumPy's; declared types of inputs, checked
    table.py       the table of ops: which function runs which op from which version on
    graph.py       a graph as steps; subgraphs, and functions that are expanded
    model.py       load, and the Module that it returns

The functions of the ops, by family:

    elements.py    of each element: arithmetic, comparisons, activations
    casts.py       casts, constants, fills, random numbers
    shapes.py      reshape, transpose, concat, split, slice, pad, ...
    places.py      gather, scatter, sort, select
    reductions.py  sums, extremes, softmax, cumulative sums
    products.py    matrices, einsum, rotary embeddings
    windows.py     convolution and pooling
    norms.py       normalisation, losses
    recurrent.py   RNN, GRU, LSTM
    resize.py      Resize and Upsample
    vision.py      grids, regions and boxes of images
    quantized.py   integers that stand for floating numbers
    signals.py     Fourier transforms, windows
    control.py     If, Loop, Scan, sequences, optional values
"""
