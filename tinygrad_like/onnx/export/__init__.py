"""Export to ONNX, from what a model computes to a file.

trials     runs of the model: on the example, with other values, at other sizes
record     the calls of ops that one run makes
merge      all runs as one program, where integers follow the dynamic axes (sizes, patterns)
table      how each op is written in ONNX, by family: arithmetic, curves, moves, places,
           reductions, layers, images, resizing, sequences; and why some are not: refused
emit       what the tables write with
model      `tg.onnx.export`
"""
