"""The shape of a convolution, as the compiled kernels take it."""

from typing import NamedTuple


class Geometry(NamedTuple):
    """x: (images, groups, c_in, h, w); y: (images, groups, c_out, ho, wo); the rest is (h, w)."""

    images: int
    groups: int
    c_in: int
    h: int
    w: int
    c_out: int
    ho: int
    wo: int
    kh: int
    kw: int
    sh: int
    sw: int
    ph: int
    pw: int
    dh: int
    dw: int

    @property
    def macs(self):
        """Multiplications and additions."""
        outputs = self.images * self.groups * self.c_out * self.ho * self.wo
        return outputs * self.c_in * self.kh * self.kw

    @property
    def inverse(self):
        """Of the convolution with the weights turned that gives the gradient by x at stride 1."""
        return self._replace(
            c_in=self.c_out,
            h=self.ho,
            w=self.wo,
            c_out=self.c_in,
            ho=self.h,
            wo=self.w,
            ph=self.dh * (self.kh - 1) - self.ph,
            pw=self.dw * (self.kw - 1) - self.pw,
        )

    @property
    def in_one_line(self):
        """The same for memory, where each pixel meets one weight: an image is one line then."""
        if (self.kh, self.kw, self.sh, self.sw, self.ph, self.pw) != (1, 1, 1, 1, 0, 0):
            return self
        pixels = self.h * self.w
        return self._replace(h=1, w=pixels, ho=1, wo=pixels)


def geometry(x_shape, weight_shape, stride, padding, dilation, groups):
    n, channels, *size = x_shape
    outputs, _, *kernel = weight_shape
    out = [
        (extent + 2 * p - d * (k - 1) - 1) // s + 1
        for extent, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ]
    each = channels // groups, *size, outputs // groups, *out
    return Geometry(n, groups, *each, *kernel, *stride, *padding, *dilation)
