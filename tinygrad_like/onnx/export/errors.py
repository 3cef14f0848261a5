"""The errors of a model, or of an op, that ONNX cannot express."""


class ExportError(ValueError):
    """A model cannot be exported; the message names the op, or what the model does, and why."""


class UnknownSize(ExportError):
    """An integer follows the sizes of the inputs in a way that the runs do not tell."""
