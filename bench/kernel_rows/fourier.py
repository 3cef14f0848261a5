"""Rows of Fourier transforms: of signals, and of images, real and complex."""

from functools import partial

from bench.kernel_rows.row import Row, by_x, moved, normal

SIGNALS, IMAGES = (256, 4096), (32, 256, 256)


def rows():
    yield _real("rfft", SIGNALS, axes=(-1,))
    yield _real("rfft2", IMAGES, axes=(-2, -1))
    yield _back("irfft", (256, 4097), axes=(-1,))
    yield _complex("fft", SIGNALS, axes=(-1,))


def _row(name, shape, step, step_of_torch):
    return Row(f"{name} {by_x(shape)}", normal(shape), step, step_of_torch, moved(shape, 1, 1))


def _real(name, shape, axes):
    """The transform of real numbers, whose parts lie side by side: pairs of reals."""
    return _row(
        name,
        shape,
        lambda k, x: lambda: _parts(k.fft.rfftn(x, axes=axes)),
        lambda torch, x: lambda: torch.view_as_real(torch.fft.rfftn(x, dim=axes)),
    )


def _back(name, shape, axes):
    """The inverse, of a spectrum whose real and imaginary parts are one number."""
    n = 2 * (shape[-1] - 1)

    def ours(k, x):
        return partial(k.fft.irfftn, x * (1 + 1j), s=(n,), axes=axes)

    def theirs(torch, x):
        return partial(torch.fft.irfftn, x * (1 + 1j), s=(n,), dim=axes)

    return _row(name, shape, ours, theirs)


def _complex(name, shape, axes):
    def ours(k, x):
        z = x * (1 - 2j)
        return lambda: _parts(k.fft.fftn(z, axes=axes))

    def theirs(torch, x):
        z = x * (1 - 2j)
        return lambda: torch.view_as_real(torch.fft.fftn(z, dim=axes))

    return _row(name, shape, ours, theirs)


def _parts(y):
    """Complex numbers as an array of their parts, without a copy."""
    return y.view(y.real.dtype).reshape(*y.shape, 2)
