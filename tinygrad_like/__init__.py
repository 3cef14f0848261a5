from tinygrad_like import ops
from tinygrad_like.backend import DeviceError, seed, set_device, set_num_threads
from tinygrad_like.engine import GraphError, Tensor, debug, enable_grad, no_grad, op
from tinygrad_like.ops import *  # noqa: F403
