"""The ops that ONNX cannot say, with the reason that the error gives."""

from tinygrad_like.onnx.export.table import refuses

refuses(
    "it draws random numbers, in training; call model.eval() first",
    "dropout kept_weights",
)
refuses(
    "how many elements it returns depends on values, and the shapes of an exported graph may not",
    "nonzero unique unique_places bincount histogram",
)
refuses(
    "ONNX has no decomposition of matrices, and none of their functions but the determinant",
    "inv slogdet solve cholesky solve_triangular solve_banded solve_sylvester eigh eigvalsh svd "
    "svdvals qr lu pinv expm sqrtm eig eigvals mirrored quotient",
)
refuses(
    "ONNX's ops do not compute with complex numbers; compute with real and imaginary parts",
    "complex dft inverse_dft rdft irdft",
)
refuses(
    "ONNX has no such function, and no short formula keeps its digits everywhere",
    "lgamma digamma polygamma polygamma_rise betaln erfinv j0 j1 y0 y1 jn yn i0 i1 i0e i1e iv ive "
    "gamma rgamma gammasgn multigammaln beta gamma_density gammainc gammaincc beta_density betainc "
    "erfcx erfcinv hazard log_ndtr ndtri stdtr log_gamma_quantile log_gamma_sample log_gamma_slope "
    "log_gamma_bend gamma_cdf normal_quantile beta_cdf beta_quantile poisson_quantile "
    "binomial_quantile",
)
refuses("it repeats a step until the values say stop", "gcd lcm")
refuses(
    "ONNX has no op that counts equal elements, or tells the places of maxima of such windows",
    "mode_places adaptive_max_pool2d_with_places",
)
refuses("it is a loss over all alignments, for training", "ctc_of_states")
refuses("ONNX's convolution in full or valid form is Conv alone: use tg.conv1d", "full valid")
refuses("ONNX has no bfloat16 that is rounded inside float32", "rounded_to_bfloat16")
refuses(
    "it is a part of a gradient: export the model, not its training",
    "sum_to tanh_backward relu_backward direction_of along_deviation along_direction "
    "gradients_of_last gradients_of_extreme conv2d_weight_grad softmax_backward "
    "log_softmax_backward max_pool2d_backward max_pool2d_gather avg_pool2d_backward expert_outer "
    "linear_scan_gradients sum_copies hooked",
)
