"""Models in the format ONNX, by which frameworks exchange them.

    import tinygrad_like as tg

    model = tg.onnx.load("resnet18.onnx")       # a Module that trains
    loss = tg.losses.cross_entropy(model(images), labels)

    load/     a file as a Module: the graph is run by the ops of this library

The package `onnx` reads the files: pip install 'tinygrad-like[onnx]'.
"""

from tinygrad_like.onnx.load.errors import OnnxError, Refused
from tinygrad_like.onnx.load.model import Model, load

__all__ = ["Model", "OnnxError", "Refused", "load"]
