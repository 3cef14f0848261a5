"""What of PyTorch's samples is refused here, or has another result, and why.

`REFUSED`: {the OpInfo's name: {words of the error: the reason}}. The words are looked for in
"TypeName: message", for complex numbers in "complex TypeName: message", and have to occur with at
least one sample. `COMPLEX` names the ops that take no complex numbers, where PyTorch's do.
`ROUNDED`: ops whose results PyTorch rounds further.
"""

# Families whose rules of gradients are made for real numbers.
COMPLEX = """
    ldexp logaddexp logcumsumexp logsumexp sigmoid sinc float_power
    nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
    nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d
    nn.functional.l1_loss nn.functional.pairwise_distance
    nn.functional.rms_norm nn.functional.silu.complex nn.functional.softsign
    nn.functional.tanhshrink nn.functional.triplet_margin_loss
    nn.functional.triplet_margin_with_distance_loss byte char double float half int long short
    to
""".split()
IS_REFUSED = "expected real numbers|expected a floating one|holds real numbers"

DTYPE = {"argument 'dtype'": "results have the dtypes of their inputs: astype() is the way"}
NO_AXIS = {"a tensor with 0 axes": "a number has no axis, as in NumPy"}
ONE_LENGTH = {"expected 1$": "an axis that is squeezed has length 1, as in NumPy"}
DEGREES = {"ddof is -": "degrees of freedom are not more than there are elements"}
EPS = {"eps is -0.5": "a negative eps may make the root of a negative number"}
Q = {"q has no gradient": "a quantile jumps from piece to piece: it is a step function of q"}
PAST_STRIDE = {"must be less than the stride": "it would be the size of a larger input"}
UNPOOLED = {"gradient 0": "of values with one place the last one counts, and gets the gradient"}
PLAIN = {"expected at least one axis": "a number has no places, as in NumPy"}
HERMITIAN = {"^complex AssertionError: gradient 0": "of a Hermitian matrix it is Hermitian"}
WHOLE = {"b is|output 0: shape": "a right side of two axes or more is a matrix, as in NumPy 2"}

REFUSED = {
    **dict.fromkeys(
        """
            cumsum cumprod prod log_softmax.with_dtype nn.functional.softmin.with_dtype
            softmax.with_dtype
        """.split(),
        DTYPE,
    ),
    **dict.fromkeys(
        """
            argsort gather index_add index_copy index_fill index_reduce.amax index_reduce.amin
            index_reduce.mean index_reduce.prod index_select kthvalue mode scatter scatter_add
            scatter_reduce.amax scatter_reduce.amin scatter_reduce.mean scatter_reduce.prod
            scatter_reduce.sum sort topk transpose
        """.split(),
        NO_AXIS,
    ),
    **dict.fromkeys(("squeeze", "squeeze.multiple"), ONE_LENGTH),
    **dict.fromkeys(("std", "std_mean", "var", "var_mean"), DEGREES),
    **{f"nn.functional.{name}_norm": EPS for name in ("group", "layer", "rms")},
    **dict.fromkeys(("quantile", "nanquantile"), Q),
    **{f"nn.functional.conv_transpose{n}d": PAST_STRIDE for n in (2, 3)},
    **{f"nn.functional.max_unpool{n}d": UNPOOLED for n in (1, 2, 3)},
    **dict.fromkeys(("argwhere", "nonzero"), PLAIN),
    "arange": {"start is False": "a truth value is no limit of a range"},
    "cat": {"is out of range": "all that is joined has as many axes, empty or not"},
    "cholesky_inverse": {"gradient 0": "of a triangle the gradient is 0 elsewhere"},
    "cholesky_solve": {"gradient 1": "of a triangle the gradient is 0 elsewhere"},
    **dict.fromkeys(("cholesky", "linalg.cholesky"), HERMITIAN),
    "clamp": {"is not differentiable by": "limits have no gradient: maximum and minimum have"},
    "cumprod": DTYPE | NO_AXIS,
    "cumsum": DTYPE | NO_AXIS,
    "gather": NO_AXIS | {"expected the shape of x": "indices have the axes of x, as in NumPy"},
    "histogram": {"argument 'weights'": "bincount has weights, and their gradients"},
    "ldexp": {"ufunc 'ldexp' not supported": "the power of 2 is an integer, as in NumPy"},
    "linalg.matrix_rank": {
        "both tol and rtol": "one limit of singular values, not the larger one of two",
        "is Tensor": "the limit is a number",
    },
    "linalg.norm.subgradients_at_zero": {
        "AssertionError: gradient 0": "of a norm by singular values the gradient at 0 is 0",
        "second-order gradient 0": "a second derivative that does not exist is NaN",
    },
    "linalg.pinv.hermitian": {"gradient 0": "of a symmetric matrix the gradient is symmetric"},
    "linalg.solve": WHOLE,
    "nn.functional.avg_pool2d": {
        "padding is|stride is": "an option of images is an integer or a pair",
    },
    "nn.functional.avg_pool3d": {"divisor_override is -2": "a number of elements is positive"},
    "nn.functional.batch_norm": {"x is|output 0: shape": "a batch has two axes or more"},
    "nn.functional.ctc_loss": {
        "gradient 0": "PyTorch's takes its input for the output of log_softmax"
    },
    "nn.functional.embedding_bag": {
        "argument 'include_last_offset'": "offsets are where bags begin: offsets[:-1]",
    },
    "nn.functional.gaussian_nll_loss": {"expected one shape": "losses do not broadcast"},
    "nn.functional.hinge_embedding_loss": {"expected 1 and -1": "targets are 1 and -1"},
    "nn.functional.hardshrink": {"lambd is -0.5": "the threshold of |x| is not negative"},
    "nn.functional.multi_margin_loss": {
        "scores are": "there is one label for each row of scores, (..., classes) and (...)"
    },
    "nn.functional.multilabel_margin_loss": {"scores are": "scores are (..., classes)"},
    "nn.functional.one_hot": {"num_classes is -1": "the classes of a batch may not be all"},
    "nn.functional.scaled_dot_product_attention": {
        "expected .N, heads": "query, key and value have as many axes",
        "derivative for aten": "PyTorch has no second derivative here",
    },
    "scatter_add": NO_AXIS | {"expected the shape of x": 'see scatter(..., reduce="sum")'},
    "searchsorted": {"expected one axis": "rows of points are tg.vmap's, as in NumPy"},
    "tensor_split": {"is Tensor": "places of cuts are integers: a Tensor would be waited for"},
    "tensordot": {"differ": "axes that are summed are not broadcast, as in NumPy"},
    "unfold": {"lengths for 0 axes": "a number has no axis"},
}

# Relative errors, where PyTorch computes with constants of float32, or adds 1e-7.
ROUNDED = {
    "nn.functional.hardsigmoid": 1e-7,
    "renorm": 1e-6,
    "special.bessel_j0": 1e-5,
    "special.bessel_j1": 1e-5,
    "special.bessel_y0": 1e-5,
    "special.bessel_y1": 1e-5,
}
