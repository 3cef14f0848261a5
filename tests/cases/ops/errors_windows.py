"""Rows of tests/ops/test_errors.py for padding, convolution, pooling and attention."""

import numpy as np

import tinygrad_like as tg


def attend(t, **options):
    """Attention of two heads over four positions."""
    return tg.scaled_dot_product_attention(*(t(1, 2, 4, 8) for _ in range(3)), **options)


ERRORS = [
    # Padding
    (lambda t: tg.pad(t(2, 3), pad_width=-2), ValueError, "[pad] axis 0 has length 2, pad_width"),
    (lambda t: tg.pad(t(2, 3), pad_width=((1, 1),) * 3), ValueError, "[pad] pad_width is "),
    (lambda t: tg.pad(t(2, 3), pad_width=0.5), ValueError, "[pad] pad_width is 0.5"),
    (lambda t: tg.pad(t(2, 3)), TypeError, "[pad] "),
    (lambda t: tg.pad(t(2, 3), pad_width=True), ValueError, "[pad] pad_width is True"),
    (lambda t: tg.pad(t(2, 3), 1, "mirror"), ValueError,
     "[pad] mode is 'mirror', expected 'constant', 'reflect', 'symmetric', 'edge', 'replicate', "
     "'wrap' or 'circular'"),
    (lambda t: tg.pad(t(2, 3), 1, 2.5), ValueError, "[pad] mode is 2.5, expected 'constant'"),
    (lambda t: tg.pad(t(2, 3), 1, "edge", value=1), ValueError,
     "[pad] value is 1, which mode 'edge' does not use"),
    (lambda t: tg.pad(t(2, 0), 1, "wrap"), ValueError,
     "[pad] axis 1 of x is empty, mode 'wrap' has nothing to repeat there (x: (2, 0))"),
    (lambda t: tg.pad(t(2), 1, value="a"), TypeError, "[pad] value is 'a', expected a number"),
    (lambda t: tg.pad(t(2), 1, value=1j), TypeError,
     "[pad] value is 1j, expected a real number for x of float32"),
    *(
        (lambda t, x=x, value=value: tg.pad(t.of(x), 1, value=value), ValueError,
         f"[pad] value is {value!r}, which {x.dtype}, the dtype of x, cannot hold")
        for x, value in (
            (np.zeros(2, int), 0.5),
            (np.zeros(2, int), float("nan")),
            (np.zeros(2, int), 2**70),
            (np.zeros(2, np.uint8), -1),
            (np.zeros(2, np.uint8), 256),
            (np.zeros(2, bool), 2),
            (np.zeros(2, np.float16), 1e6),
        )
    ),
    # Convolution
    (lambda t: tg.conv2d(t(8, 3, 9, 9), t(16, 4, 3, 3)), ValueError,
     "[conv2d] x has 3 channels, weight expects 4 (x: (8, 3, 9, 9), weight: (16, 4, 3, 3))"),
    (lambda t: tg.conv2d(t(9, 9), t(4, 3, 3, 3)), ValueError,
     "[conv2d] x is (9, 9), weight is (4, 3, 3, 3), expected (N, C, H, W)"),
    (lambda t: tg.conv2d(t(1, 3, 9, 9), t(4, 3, 3, 3), t(3)), ValueError,
     "[conv2d] bias is (3,), expected (4,)"),
    (lambda t: tg.conv2d(t(1, 3, 9, 9), t(4, 3, 3, 3), groups=2), ValueError,
     "[conv2d] groups is 2, which does not divide 3 input and 4 output channels"),
    (lambda t: tg.conv2d(t(1, 3, 9, 9), t(4, 3, 3, 3), groups=0), ValueError, "[conv2d] groups"),
    (lambda t: tg.conv2d(t(1, 1, 2, 2), t(1, 1, 3, 3)), ValueError,
     "[conv2d] the window spans 3, the padded input only 2 (x: (1, 1, 2, 2), kernel: (3, 3))"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=0), ValueError,
     "[conv2d] stride is 0, expected an integer of at least 1, or a pair"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding=-1), ValueError,
     "[conv2d] padding is -1, expected an integer of at least 0"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), dilation=(1, 2, 3)), ValueError,
     "[conv2d] dilation is (1, 2, 3), expected"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding="full"), ValueError,
     "[conv2d] padding is 'full', expected"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 2, 2), padding=((1, 2), (0, -1))), ValueError,
     "[conv2d] padding is ((1, 2), (0, -1)), expected an integer of at least 0, a pair (h, w), "
     "pairs ((top, bottom), (left, right)), 'same' or 'valid'"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 2, 2), padding=(1,)), ValueError,
     "[conv2d] padding is (1,), expected"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 2, 2), padding=True), ValueError,
     "[conv2d] padding is True, expected"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 2, 2), stride=True), ValueError,
     "[conv2d] stride is True, expected an integer of at least 1, or a pair"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 2, 2), groups=True), TypeError,
     "[conv2d] groups is True, expected an integer"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), t(1, 1, 0, 2)), ValueError,
     "[conv2d] the kernel is (0, 2), expected no length of 0"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4) > 0, t(1, 1, 2, 2) > 0), TypeError,
     "[conv2d] x and weight are booleans, expected numbers; cast one of them"),
    (lambda t: tg.conv2d(t(1, 1, 4, 4), "x"), TypeError, "[conv2d] weight is a str, expected a"),
    (lambda t: tg.conv2d(x=t(1, 1, 4, 4), weight=None), TypeError,
     "[conv2d] weight is a NoneType, expected a Tensor, an array or a number"),
    (lambda t: tg.scaled_dot_product_attention(t(1, 2, 4, 8), t(1, 2, 4, 8), value=[1.0]),
     TypeError, "[scaled_dot_product_attention] value is a list, expected a Tensor"),
    (lambda t: tg.max_pool2d(t(1, 1, 4, 4), 2, stride=10**30), ValueError,
     "[max_pool2d] stride is 1000000000000000000000000000000, expected an integer of at least 1"),
    (lambda t: tg.pad(t(2, 3), (True, 1)), ValueError, "[pad] pad_width is (True, 1), expected"),
    (lambda t: tg.conv1d(t(1, 1, 4, 4), t(1, 1, 3)), ValueError, "[conv1d] x is (1, 1, 4, 4),"),
    (lambda t: tg.conv1d(t(1, 2, 4), t(1, 1, 3)), ValueError,
     "[conv1d] x has 2 channels, weight expects 1 (x: (1, 2, 4), weight: (1, 1, 3))"),
    (lambda t: tg.conv1d(t(1, 1, 4), t(1, 1, 3), stride=0), ValueError, "[conv1d] stride is 0"),
    (lambda t: tg.conv1d(t(1, 1, 2), t(1, 1, 3)), ValueError, "[conv1d] the window spans 3"),
    (lambda t: tg.conv1d(t(1, 1, 4), t(1, 1, 3), padding=(1, 2)), ValueError,
     "[conv1d] padding is (1, 2), expected an integer of at least 0, a pair in a tuple, "
     "((before, after),), 'same' or 'valid'"),
    (lambda t: tg.conv1d(t(1, 1, 4), t(1, 1, 3), dilation=True), ValueError,
     "[conv1d] dilation is True, expected a positive integer"),
    (lambda t: tg.conv_transpose2d(t(1, 2, 3, 3), t(3, 1, 2, 2)), ValueError,
     "[conv_transpose2d] x is (1, 2, 3, 3), weight is (3, 1, 2, 2), expected (N, C, H, W)"),
    (lambda t: tg.conv_transpose2d(t(1, 3, 3, 3), t(3, 1, 2, 2), groups=2), ValueError,
     "[conv_transpose2d] 2 groups do not divide 3 channels"),
    (lambda t: tg.conv_transpose2d(t(1, 1, 3, 3), t(1, 1, 2, 2), output_padding=1), ValueError,
     "[conv_transpose2d] output_padding (1, 1) must be less than the stride (1, 1)"),
    (lambda t: tg.conv_transpose2d(t(1, 1, 3, 3), t(1, 1, 2, 2), stride=(2, 1),
                                   output_padding=(0, 1)), ValueError,
     "[conv_transpose2d] output_padding (0, 1) must be less than the stride (2, 1)"),
    (lambda t: tg.conv_transpose2d(t(1, 1, 1, 1), t(1, 1, 2, 2), padding=1), ValueError,
     "[conv_transpose2d] output_padding (0, 0) must be less than the stride (1, 1), and the "
     "output, (0, 0), not empty"),
    (lambda t: tg.conv_transpose2d(t(1, 1, 3, 3), t(1, 1, 2, 2), stride=2, padding="same",
                                   output_padding=1), ValueError,
     "[conv_transpose2d] output_padding is (1, 1), expected 0 with padding='same'"),
    (lambda t: tg.conv_transpose2d(t(1, 1, 3, 3), t(1, 1, 0, 2), stride=2), ValueError,
     "[conv_transpose2d] the kernel is (0, 2), expected no length of 0"),
    (lambda t: tg.conv_transpose2d(t(1, 1, 3, 3), t(1, 2, 2, 2), t(3)), ValueError,
     "[conv_transpose2d] bias is (3,), expected (2,)"),
    *(
        case
        for f in (tg.max_pool2d, tg.avg_pool2d)
        for case in (
            (lambda t, f=f: f(t(3, 3), 2), ValueError,
             f"[{f.__name__}] x is (3, 3), expected (N, C, H, W)"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 4), ValueError, f"[{f.__name__}] the window spans 4"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 0), ValueError, f"[{f.__name__}] size is 0, expected"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 2, padding=2), ValueError,
             f"[{f.__name__}] padding is 2, expected less than the window (2, 2)"),
            (lambda t, f=f: f(t(1, 1, 0, 3), 2, padding=1), ValueError,
             f"[{f.__name__}] x is (1, 1, 0, 3), expected images of at least one pixel"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 2, stride=True), ValueError,
             f"[{f.__name__}] stride is True, expected an integer"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 2, padding=((0, 1), 1.5)), ValueError,
             f"[{f.__name__}] padding is ((0, 1), 1.5), expected an integer of at least 0, a pair"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 2, ceil_mode="no"), ValueError,
             f"[{f.__name__}] ceil_mode is 'no', expected True or False"),
            (lambda t, f=f: f(t(1, 1, 3, 3), 2, stride=(1, 1.5)), ValueError,
             f"[{f.__name__}] stride is (1, 1.5), expected"),
        )
    ),
    # Attention
    *(
        (lambda t, f=f: f(t), ValueError, f"[{name}] causal is 'no', expected True or False")
        for name, f in (
            ("scaled_dot_product_attention", lambda t: attend(t, causal="no")),
            ("attention_weights",
             lambda t: tg.attention_weights(t(1, 2, 4, 8), t(1, 2, 4, 8), causal="no")),
        )
    ),
    *(
        (lambda t, options=options: attend(t, **options), kind,
         f"[scaled_dot_product_attention] {text}")
        for options, kind, text in (
            ({"causal": 1}, ValueError, "causal is 1, expected True or False"),
            ({"training": "no"}, ValueError, "training is 'no', expected True or False"),
            ({"scale": float("nan")}, ValueError, "scale is nan, expected a finite number"),
            ({"scale": float("inf")}, ValueError, "scale is inf, expected a finite number"),
            ({"scale": "a"}, TypeError, "scale is 'a', expected a finite number"),
            ({"dropout": 2}, ValueError, "dropout is 2, expected a probability from 0 to 1"),
            ({"dropout": "a"}, TypeError, "dropout is 'a', expected a probability from 0 to 1"),
            ({"dropout": True}, TypeError, "dropout is True, expected a probability from 0 to 1"),
        )
    ),
    (lambda t: tg.rotary(t(2, 4), offset=-1), ValueError,
     "[rotary] offset is -1, expected an integer of at least 0"),
    (lambda t: tg.rotary(t(2, 4), offset=0.5), TypeError,
     "[rotary] offset is 0.5, expected an integer"),
    *(
        (lambda t, base=base: tg.rotary(t(2, 4), base=base), ValueError,
         f"[rotary] base is {base}, expected a positive number")
        for base in (0, -1.0, float("nan"), float("inf"))
    ),
]  # fmt: skip
