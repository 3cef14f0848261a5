"""PyTorch's ops without a counterpart here: {the OpInfo's name: why, or what takes its place}."""

GROUPS = {
    "random numbers: others than PyTorch's": """
        bernoulli cauchy exponential geometric log_normal normal normal.in_place normal.number_mean
        uniform multinomial rand_like randint randint_like randn randn_like
        nn.functional.alpha_dropout nn.functional.dropout2d nn.functional.dropout3d
        nn.functional.feature_alpha_dropout.with_train
        nn.functional.feature_alpha_dropout.without_train
        nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d
        nn.functional.rrelu pca_lowrank svd_lowrank
    """,
    "storage that is shared, strided or not filled": """
        as_strided as_strided.partial_views as_strided_copy as_strided_scatter contiguous empty
        empty_like empty_permuted empty_strided new_empty new_empty_strided resize_ resize_as_
        resolve_conj resolve_neg to_sparse
    """,
    "a copy instead of a view, or without checks, for PyTorch's compiler": """
        alias_copy diagonal_copy expand_copy narrow_copy nonzero_static permute_copy
        split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy
        unsafe_chunk unsafe_split unsqueeze_copy view_copy _chunk_cat _unsafe_masked_index
        _unsafe_masked_index_put_accumulate
    """,
    "inner parts of PyTorch's ops": """
        _batch_norm_with_update _native_batch_norm_legit _segment_reduce.lengths
        _segment_reduce.offsets _softmax_backward_data _upsample_bilinear2d_aa bmm.triton_optimized
        grid_sampler_2d grid_sampler_3d hash_tensor jiterator_2inputs_2outputs
        jiterator_4inputs_with_extra_args jiterator_binary jiterator_binary_return_by_ref
        jiterator_unary max_pool2d_with_indices_backward native_batch_norm native_dropout_backward
        native_group_norm native_layer_norm torch._scaled_mm torch._scaled_mm_v2
        torch.ops.aten._efficient_attention_forward torch.ops.aten._flash_attention_forward
        torch.ops.aten._safe_softmax.default
    """,
    "of a GPU alone": "nn.functional.batch_norm.without_cudnn",
    "sparse matrices": "sparse.mm.reduce sparse.sampled_addmm",
    "masks as an option: where(), and the functions named nan...": """
        masked.amax masked.amin masked.argmax masked.argmin masked.cumprod masked.cumsum
        masked.log_softmax masked.logaddexp masked.logsumexp masked.mean masked.median
        masked.norm masked.normalize masked.prod masked.softmax masked.softmin masked.std
        masked.sum masked.var
    """,
    "in place, while a gradient is recorded: where(), scatter()": "index_put put zero_",
    "zeros(shape, dtype=x.dtype) and the like": "new_full new_ones new_zeros scalar_tensor",
    "dtypes that NumPy has not": "bfloat16 chalf",
    "the function that raises instead of giving a code": """
        linalg.cholesky_ex linalg.inv_ex linalg.ldl_factor_ex linalg.lu_factor_ex linalg.solve_ex
    """,
    "factors in LAPACK's packed form: qr() and lu() give the factors": """
        geqrf linalg.householder_product linalg.ldl_factor linalg.ldl_solve linalg.lu_factor
        linalg.lu_solve lu lu_solve lu_unpack ormqr
    """,
    "older names of PyTorch's": "triangular_solve",
    "nn.MultiHeadAttention": "nn.functional.multi_head_attention_forward",
    "cross_entropy(linear(x, weight), labels)": """
        nn.functional.linear_cross_entropy nn.functional.linear_cross_entropy.chunked
        nn.functional.linear_cross_entropy.chunked_none
    """,
    "np. takes Tensors: what has no gradient comes back as arrays": """
        broadcast_shapes histogramdd isin nextafter unique_consecutive unravel_index
    """,
    "limits that are tensors: item() gives numbers": "linspace.tensor_overload",
    "windows of signals: scipy.signal.windows gives arrays": """
        signal.windows.bartlett signal.windows.blackman signal.windows.cosine
        signal.windows.exponential signal.windows.gaussian signal.windows.general_cosine
        signal.windows.general_hamming signal.windows.hamming signal.windows.hann
        signal.windows.kaiser signal.windows.nuttall
    """,
    "NumPy's transforms alone: not of several axes": "fft.hfft2 fft.hfftn fft.ihfft2 fft.ihfftn",
    "polynomials and special functions without a gradient in PyTorch": """
        special.airy_ai special.chebyshev_polynomial_t special.chebyshev_polynomial_u
        special.chebyshev_polynomial_v special.chebyshev_polynomial_w special.hermite_polynomial_h
        special.hermite_polynomial_he special.laguerre_polynomial_l special.legendre_polynomial_p
        special.modified_bessel_k0 special.modified_bessel_k1 special.scaled_modified_bessel_k0
        special.scaled_modified_bessel_k1 special.shifted_chebyshev_polynomial_t
        special.shifted_chebyshev_polynomial_u special.shifted_chebyshev_polynomial_v
        special.shifted_chebyshev_polynomial_w special.spherical_bessel_j0 special.zeta
    """,
    "where() with a mask of the diagonal": "diagonal_scatter",
    "power(base, linspace(start, end, steps))": "logspace logspace.tensor_overload",
    "sum() over the axes that broadcasting adds or lengthens": "sum_to_size",
}
MISSING = {name: reason for reason, names in GROUPS.items() for name in names.split()}
