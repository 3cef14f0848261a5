"""Calls of the array API's products, and of its extensions `linalg` and `fft`."""

import numpy as np
from standard_calls import BATCH, FLOATING, SHORT, A, C, Z, alike, called, default, each, to

MATRICES = [m.astype(d) for m in (C, BATCH) for d in FLOATING[:2]] + [Z, Z.astype("complex64")]
NUMBERS = SHORT[1:]  # no booleans
ORDERS = ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)


def adjoint(x):
    return np.swapaxes(x.conj(), -1, -2)


def products():
    """Of matrix products and the like, in the namespace itself and in `linalg`."""
    pairs = [(p, q.T) for p in NUMBERS for q in NUMBERS if alike(p, q)]
    pairs += [(A, C), (BATCH, Z), (A[0], C), (C, A[0]), (A[0], A[1]), (BATCH, C)]
    pairs += [(A[:, :0], A[:, :0].T)]
    rows = {
        "array.__matmul__": [called(lambda xp, a, b: a @ b, *pair) for pair in pairs],
        "array.__imatmul__": [called(in_place, C, C), called(in_place, BATCH, C)],
    }
    for room in ("", "linalg."):
        name = f"{room}matmul"
        rows[name] = [to(name, *pair) for pair in pairs]
        name = f"{room}tensordot"
        rows[name] = [to(name, BATCH, BATCH, axes=i) for i in (0, 1, 2, ((0, 1), (0, 2)))]
        rows[name] += [to(name, x, x, axes=2) for x in NUMBERS]
        name = f"{room}vecdot"
        rows[name] = [to(name, x, x) for x in (*NUMBERS, Z)] + [to(name, BATCH, A[0])]
        rows[name].append(to(name, BATCH, Z, axis=-2))
        name = f"{room}matrix_transpose"
        rows[name] = [to(name, x) for x in (*MATRICES, *SHORT)]
    return rows


def in_place(xp, a, b):
    a = xp.asarray(a, copy=True)
    a @= b
    return a


def linear_algebra():
    """Of the rest of `linalg`; of factors that are determined but for signs, their product."""
    rows = {}
    for name in ("det", "inv", "pinv", "svdvals", "matrix_rank", "slogdet"):
        rows[f"linalg.{name}"] = [to(f"linalg.{name}", x) for x in MATRICES]
    for name in ("linalg.pinv", "linalg.matrix_rank"):
        rows[name] += [to(name, x, rtol=0.5) for x in MATRICES]
    definite = [(m @ adjoint(m) + np.eye(3)).astype(m.dtype) for m in MATRICES]
    symmetric = [m + adjoint(m) for m in MATRICES]
    upper = (True, False)
    rows["linalg.cholesky"] = [to("linalg.cholesky", m, upper=u) for m in definite for u in upper]
    rows["linalg.eigvalsh"] = [to("linalg.eigvalsh", m) for m in symmetric]
    rows["linalg.eigh"] = each(of_eigh, symmetric)
    rows["linalg.eigvals"] = each(
        lambda xp, a: xp.sum(xp.linalg.eigvals(a) ** 2, axis=-1), MATRICES
    )
    rows["linalg.eig"] = each(of_eig, MATRICES)
    more = [*MATRICES, A, A.T]
    rows["linalg.qr"] = each(of_qr("reduced"), more) + each(of_qr("complete"), more)
    rows["linalg.svd"] = each(of_svd, more)
    rows["linalg.svd"].append(called(lambda xp, a: [p.shape for p in xp.linalg.svd(a)], A))
    systems = [(C, A[0]), (C, A.T), (BATCH, C), (Z, BATCH), (BATCH, A[0])]
    rows["linalg.solve"] = [to("linalg.solve", *pair) for pair in systems]
    rows["linalg.cross"] = [to("linalg.cross", x, x[::-1].copy()) for x in NUMBERS]
    rows["linalg.cross"].append(to("linalg.cross", BATCH, Z, axis=1))
    rows["linalg.outer"] = [to("linalg.outer", x[0], x[1]) for x in NUMBERS]
    for name in ("linalg.diagonal", "linalg.trace"):
        rows[name] = [to(name, x, offset=k) for x in (*SHORT, BATCH) for k in (0, 1, -1)]
    wide = [called(lambda xp, a: xp.linalg.trace(a, dtype=xp.int64), x) for x in NUMBERS[:4]]
    rows["linalg.trace"] += wide
    rows["linalg.matrix_norm"] = [
        to("linalg.matrix_norm", x, ord=o, keepdims=k)
        for x in MATRICES
        for o in ORDERS
        for k in (True, False)
    ]
    powers = (0, 1, 3, -2)
    rows["linalg.matrix_power"] = [
        called(lambda xp, a, n=n: xp.linalg.matrix_power(a, n), x) for x in MATRICES for n in powers
    ]
    rows["linalg.vector_norm"] = [
        to("linalg.vector_norm", x, ord=o, axis=i, keepdims=True)
        for x in MATRICES
        for o in (0, 1, 2, 3, np.inf, -np.inf, 0.5)
        for i in (None, -1, (0, 1))
    ]
    return rows


def kinds(parts):
    return [(part.shape, part.dtype) for part in parts]


def of_eigh(xp, a):
    values, vectors = parts = xp.linalg.eigh(a)
    back = xp.conj(vectors) if xp.isdtype(a.dtype, "complex floating") else vectors
    return (vectors * values[..., None, :]) @ xp.matrix_transpose(back), kinds(parts)


def of_eig(xp, a):
    values, vectors = parts = xp.linalg.eig(a)
    return (vectors * values[..., None, :]) @ xp.linalg.inv(vectors), kinds(parts)


def of_qr(mode):
    def f(xp, a):
        parts = xp.linalg.qr(a, mode=mode)
        return parts.Q @ parts.R, kinds(parts)

    return f


def of_svd(xp, a):
    parts = xp.linalg.svd(a, full_matrices=False)
    return (parts.U * parts.S[..., None, :]) @ parts.Vh, kinds(parts)


def fourier():
    """Of the extension `fft`."""
    signals = [x.astype(d) for x in (BATCH[0], BATCH) for d in FLOATING]
    along = [{}, {"n": 5}, {"n": 2, "axis": 0}, {"norm": "ortho"}, {"norm": "forward"}]
    along_several = [{}, {"s": (2, 4), "axes": (0, 1)}, {"axes": (-1,)}, {"norm": "ortho"}]
    rows = {}
    for names, options in (
        ("fft ifft rfft irfft hfft ihfft", along),
        ("fftn ifftn rfftn irfftn", along_several),
        ("fftshift ifftshift", [{"axes": None}, {"axes": 0}, {"axes": (0, 1)}]),
    ):
        for name in names.split():
            rows[f"fft.{name}"] = [to(f"fft.{name}", x, **o) for x in signals for o in options]
    for name in ("fft.fftfreq", "fft.rfftfreq"):
        rows[name] = [default(name, n, d=d) for n in (1, 4, 5) for d in (1.0, 0.25)]
    return rows


def rows():
    """{name: calls}."""
    return {**products(), **linear_algebra(), **fourier()}
