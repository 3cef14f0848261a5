"""To see inside a model: what passes through it (`tap`), and what it costs (`profile`).

    taps.py        tap: reads and replaces what passes through modules
    statistics.py  Statistics of it
    profiler.py    profile: the time of each op, gradient and step
    spans.py       Span: a piece of that time
    tables.py      its tables by op and by module
    trace.py       a Chrome trace of it
    flame.py       a flame chart of it
    peak.py        what the machine can do at most
    flops/         the FLOPs of each op

Hooks, upon which both stand, are methods of Module (nn/base/hooks.py).
"""

from tinygrad_like.inspect.profiler import profile
from tinygrad_like.inspect.statistics import Statistics
from tinygrad_like.inspect.taps import tap
