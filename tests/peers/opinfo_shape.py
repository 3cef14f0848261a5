"""How PyTorch's ops of shapes and indices, and those that make tensors, are called here."""

import functools
import itertools

import numpy as np
from opinfo import call

import tinygrad_like as tg

SAME = """
    column_stack dsplit dstack hsplit hstack
    kron rot90 tril triu vsplit vstack argwhere
""".split()


def at(x, dim, index):
    """`x` indexed along one axis."""
    return x[(slice(None),) * (dim % max(len(x.shape), 1)) + (index,)]


def starts(lengths):
    """The indices between parts of these lengths."""
    return np.cumsum(lengths)[:-1].tolist()


def split(x, size, dim=0):
    """PyTorch's lengths of the parts, as NumPy's places of the cuts."""
    if isinstance(size, (tuple, list)):
        return tg.split(x, starts(size), dim)
    return tg.split(x, list(range(size, x.shape[dim], size)), dim)


def slice_scatter(x, source, dim=0, start=None, end=None, step=1):
    places = np.arange(x.shape[dim])[slice(start, end, step)]
    return tg.index_copy(x, places, source, dim)


def index_reduce(x, dim, index, source, reduce, *, include_self=True):
    return tg.index_reduce(x, index, source, dim, reduce, include_self)


def cartesian_prod(*xs):
    if len(xs) == 1:
        return xs[0]
    grids = tg.meshgrid(*xs, indexing="ij")
    return tg.stack([tg.flatten(grid) for grid in grids], -1)


def combinations(x, r=2, with_replacement=False):
    of = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = list(of(range(len(x)), r))
    return x[np.array(places, np.int64).reshape(len(places), r)]


def select_scatter(x, source, dim, index):
    return tg.index_copy(x, [index % x.shape[dim]], tg.expand_dims(source, dim), dim)


def expand(x, shape):
    """PyTorch's -1 keeps a length."""
    lengths = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    kept = tuple(n if s == -1 else s for n, s in zip(lengths, shape, strict=True))
    return tg.broadcast_to(x, shape=kept)


def each(function):
    """Of one tensor, or of a list of them."""
    return lambda x, *others: function(*(x if isinstance(x, (list, tuple)) else (x, *others)))


def here(function):
    """Without PyTorch's option of a device, which names the only one."""

    def called(*args, device=None, **options):
        return function(*args, **options)

    return called


def scattered(reduce):
    return lambda x, dim, index, source, _=None, include_self=True: tg.scatter(
        x, index, source, dim, reduce, include_self
    )


SHAPES = {
    **{name: getattr(tg, name) for name in SAME},
    "broadcast_tensors": tg.broadcast_arrays,
    "broadcast_to": lambda x, shape: tg.broadcast_to(x, shape=shape),
    **{f"atleast_{n}d": each(getattr(tg, f"atleast_{n}d")) for n in (1, 2, 3)},
    "cat": lambda xs, dim=0: tg.concatenate(xs, axis=dim),
    "chunk": call(tg.chunk, "chunks dim"),
    "diag": tg.diag,
    "diagflat": call(tg.diagflat, "offset", offset="k"),
    "diag_embed": call(tg.diag_embed, "offset dim1 dim2", dim1="axis1", dim2="axis2"),
    "diagonal": call(tg.diagonal, "offset dim1 dim2", dim1="axis1", dim2="axis2"),
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: tg.diagonal(x, offset, dim1, dim2),
    "expand": expand,
    "expand_as": lambda x, other: tg.broadcast_to(x, shape=other.shape),
    "flatten": call(tg.flatten, "start_dim end_dim", start_dim="start_axis", end_dim="end_axis"),
    "flip": call(tg.flip, "dims"),
    "fliplr": lambda x: np.fliplr(x),
    "flipud": lambda x: np.flipud(x),
    "H": lambda x: x.H,
    "mH": lambda x: x.H,
    "mT": lambda x: x.mT,
    "T": lambda x: x.T,
    "t": lambda x: x.T,
    "meshgrid.list_of_tensors": lambda xs, indexing: tg.meshgrid(*xs, indexing=indexing),
    "meshgrid.variadic_tensors": tg.meshgrid,
    "movedim": tg.moveaxis,
    "ravel": lambda x: x.ravel(),
    "nn.functional.channel_shuffle": lambda x, groups: tg.reshape(
        tg.swapaxes(tg.unflatten(x, 1, (groups, -1)), 1, 2), shape=x.shape
    ),
    "nn.functional.pixel_shuffle": call(tg.pixel_shuffle, upscale_factor="factor"),
    "nn.functional.pixel_unshuffle": call(tg.pixel_unshuffle, downscale_factor="factor"),
    "permute": tg.transpose,
    "repeat": tg.tile,
    "repeat_interleave": lambda x, repeats, dim=None, output_size=None: tg.repeat(x, repeats, dim),
    "reshape": lambda x, shape: tg.reshape(x, shape=shape),
    "reshape_as": lambda x, other: tg.reshape(x, shape=other.shape),
    "roll": lambda x, shifts, dims=None: tg.roll(x, shift=shifts, axis=dims),
    "select": at,
    "slice": lambda x, dim=0, start=None, end=None, step=1: at(x, dim, slice(start, end, step)),
    "narrow": lambda x, dim, start, length: at(x, dim, slice(int(start), int(start) + length)),
    "split": split,
    "split.list_args": split,
    "split_with_sizes": split,
    "squeeze": tg.squeeze,
    "squeeze.multiple": tg.squeeze,
    "stack": tg.stack,
    "tensor_split": call(tg.array_split, "indices_or_sections dim"),
    "tile": tg.tile,
    "transpose": tg.swapaxes,
    "unbind": tg.unbind,
    "unflatten": tg.unflatten,
    "unfold": lambda x, dim, size, step: tg.sliding_window_view(x, size, dim, step=step),
    "unsqueeze": tg.expand_dims,
    "view": lambda x, shape: tg.reshape(x, shape=shape),
    "view_as": lambda x, other: tg.reshape(x, shape=other.shape),
}

INDICES = {
    "cartesian_prod": cartesian_prod,
    "combinations": combinations,
    "__getitem__": lambda x, index: x[index],
    "gather": lambda x, dim, index: tg.take_along_axis(x, index, dim),
    "index_add": lambda x, dim, index, source, alpha=1: tg.index_add(x, index, alpha * source, dim),
    "index_copy": lambda x, dim, index, source: tg.index_copy(x, index, source, dim),
    **{f"index_reduce.{how}": index_reduce for how in "amax amin mean prod".split()},
    "index_fill": lambda x, dim, index, value: tg.index_fill(x, index, value, dim),
    "index_select": lambda x, dim, index: tg.take(x, index, dim),
    "masked_scatter": tg.masked_scatter,
    "masked_select": lambda x, mask: tg.broadcast_arrays(x, mask)[0][
        tg.broadcast_arrays(x, mask)[1]
    ],
    "nonzero": lambda x, as_tuple: tg.nonzero(x) if as_tuple else tg.argwhere(x),
    "scatter": lambda x, dim, index, source, **options: tg.scatter(
        x, index, source, dim, **options
    ),
    "scatter_add": lambda x, dim, index, source: tg.scatter_add(x, index, source, dim),
    "scatter_reduce.amax": scattered("amax"),
    "scatter_reduce.amin": scattered("amin"),
    "scatter_reduce.mean": scattered("mean"),
    "scatter_reduce.prod": scattered("prod"),
    "scatter_reduce.sum": scattered("sum"),
    "select_scatter": select_scatter,
    "slice_scatter": slice_scatter,
    "take": tg.take,
    "take_along_dim": lambda x, index, dim=None: (
        tg.take(x, index.ravel()) if dim is None else tg.take_along_axis(x, index, dim)
    ),
    "nn.functional.embedding": tg.embedding,
    "nn.functional.one_hot": tg.one_hot,
}

MADE = {
    "arange": lambda *limits, end=None, **options: tg.arange(
        *limits, *(() if end is None else (end,)), **options
    ),
    "eye": tg.eye,
    "full": tg.full,
    "full_like": here(tg.full_like),
    "linspace": tg.linspace,
    "ones": lambda shape, **options: tg.ones(shape, **options),
    "ones_like": here(tg.ones_like),
    "tril_indices": lambda n, m, k=0, *, dtype, device: tg.stack(tg.tril_indices(n, k, m)),
    "triu_indices": lambda n, m, k=0, *, dtype, device: tg.stack(tg.triu_indices(n, k, m)),
    "zeros": lambda shape, **options: tg.zeros(shape, **options),
    "zeros_like": here(tg.zeros_like),
}

CASTS = {
    name: functools.partial(lambda x, dtype, memory_format=None: tg.astype(x, dtype=dtype), dtype=d)
    for name, d in {
        "bool": "bool",
        "byte": "uint8",
        "cdouble": "complex128",
        "cfloat": "complex64",
        "char": "int8",
        "double": "float64",
        "float": "float32",
        "half": "float16",
        "int": "int32",
        "long": "int64",
        "short": "int16",
    }.items()
}

ROWS = {**SHAPES, **INDICES, **MADE, **CASTS}
