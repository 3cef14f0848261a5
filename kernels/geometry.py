"""The geometry of windows that slide over images, which convolution and pooling share.

It is made once from the shapes and the options of a call, and handed to every kernel of that op:
to the forward pass and to the gradients. Where options come from a user,
`ops/indexing/window.py` checks them first.
"""

from typing import NamedTuple


class Geometry(NamedTuple):
    """The sizes of a convolution, along the height and along the width of its images.

        x         (images, groups * c_in, h, w)
        weight    (groups * c_out, c_in, kh, kw)
        y         (images, groups * c_out, ho, wo)

    The output at (p, q) reads the input at (p sh + i dh - ph, q sw + j dw - pw) for each kernel
    position (i, j): s is the stride, d the dilation, and p the padding before the first row or
    column. The padding behind the last one only decides how many outputs there are.

    A pooling is a geometry with a group for each channel, so that c_in and c_out are 1.

    All fields are integers, so that compiled kernels can take the tuple itself.
    """

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
    def x_shape(self):
        return self.images, self.groups * self.c_in, self.h, self.w

    @property
    def weight_shape(self):
        return self.groups * self.c_out, self.c_in, self.kh, self.kw

    @property
    def y_shape(self):
        return self.images, self.groups * self.c_out, self.ho, self.wo

    @property
    def kernel(self):
        return self.kh, self.kw

    @property
    def stride(self):
        return self.sh, self.sw

    @property
    def padding(self):
        return self.ph, self.pw

    @property
    def dilation(self):
        return self.dh, self.dw

    @property
    def macs(self):
        """The multiply-adds of the forward pass."""
        outputs = self.images * self.groups * self.c_out * self.ho * self.wo
        return outputs * self.c_in * self.kh * self.kw

    @property
    def inverse(self):
        """The Geometry of the convolution of dy with flipped weights that gives dx, at stride 1.

        Its padding may be negative.
        """
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


def conv_geometry(x_shape, weight_shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """The Geometry of a convolution of images (N, C, H, W) by weights (C_out, C / groups, kh, kw).

    `stride`, `padding` and `dilation` are pairs (h, w) of integers, which are not checked.
    """
    images, channels, *size = x_shape
    filters, _, *kernel = weight_shape
    ends = [(p, p) for p in padding]
    out = map(_outputs, size, kernel, stride, ends, dilation)
    sizes = images, groups, channels // groups, *size, filters // groups, *out
    return Geometry(*map(int, (*sizes, *kernel, *stride, *padding, *dilation)))


def pool_geometry(x_shape, size, stride, padding, dilation=(1, 1)):
    """The Geometry of a pooling of images (N, C, H, W) over windows of `size`.

    `size`, `stride` and `dilation` are pairs (h, w), and `padding` is ((top, bottom), (left,
    right)) or a pair for both ends of each axis; they are not checked. The end at the bottom or at
    the right is negative where no window reaches the last rows or columns.
    """
    images, channels, *image = x_shape
    ends = [p if isinstance(p, tuple) else (p, p) for p in padding]
    out = map(_outputs, image, size, stride, ends, dilation)
    before = [first for first, _ in ends]
    sizes = images, channels, 1, *image, 1, *out
    return Geometry(*map(int, (*sizes, *size, *stride, *before, *dilation)))


def _outputs(n, kernel, stride, ends, dilation):
    """How many windows fit along an axis of length n with this padding before and behind it."""
    return (n + sum(ends) - dilation * (kernel - 1) - 1) // stride + 1
