"""Models in the format ONNX, by which programs exchange them.

    import tinygrad_like as tg

    model = tg.onnx.load("resnet18.onnx")       # a Module that trains
    loss = tg.losses.cross_entropy(model(images), labels)
    tg.onnx.export(model, images, "mine.onnx")  # a file that ONNX Runtime runs

    load/     a file as a Module: the graph is run by the ops of this library
    export/   a model as a file: its calls of ops are written as ONNX's

The packages `onnx` and `onnx-ir` read and write the files: pip install 'tinygrad-like[onnx]'.
"""

from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.model import export
from tinygrad_like.onnx.load.errors import OnnxError, Refused
from tinygrad_like.onnx.load.model import Model, load

__all__ = ["ExportError", "Model", "OnnxError", "Refused", "export", "load"]
