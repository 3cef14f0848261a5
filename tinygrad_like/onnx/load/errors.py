"""What reading or running an ONNX model raises."""


class OnnxError(ValueError):
    """A file that is no sound ONNX model, or inputs that do not fit it."""


class Refused(OnnxError):
    """An op, an option or a dtype that this library does not run; the message names it."""
