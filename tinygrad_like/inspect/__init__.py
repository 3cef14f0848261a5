"""Looking inside a model: what passes through it (`tap`), and what it costs (`profile`).

    taps.py        tap: reads and replaces what passes through modules
    statistics.py  Statistics of activations and gradients
    profiler.py    profile: the time of each op, gradient and step
    spans.py       Span: one timed interval of a profile
    tables.py      a profile as tables, by op and by module
    trace.py       a profile as a Chrome trace
    flame.py       a profile as a flame chart
    peak.py        the highest rate of the machine, measured
    flops/         the FLOPs of each op

Both use the hooks of Module (nn/base/hooks.py).
"""

from tinygrad_like.inspect.profiler import profile
from tinygrad_like.inspect.statistics import Statistics
from tinygrad_like.inspect.taps import tap
