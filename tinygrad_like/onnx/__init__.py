"""ONNX, the format in which other programs run models.

export    a model as an ONNX file, which ONNX Runtime runs
"""

from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.model import export

__all__ = ["ExportError", "export"]
