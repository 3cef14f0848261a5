"""Ops that compute nothing: they move, choose or compare elements; and ops without a count."""

FREE = (
    "copy reshape transpose concatenate split unbind flip roll itself broadcast_to astype "
    "to_device hooked zeros_of where getitem put embedding scatter_rows one_hot tril triu nonzero "
    "argsort sort top_places read_lines spread_lines assign_lines gradients_of_last pad_constant "
    "repeat tile diagonal on_diagonal mirrored moved_rows read_slices add_slices windows joined "
    "kept_weights max_pool2d_backward max_pool2d_gather avg_pool2d_backward gradients_of_extreme "
    "extreme unique unique_places searchsorted mode_places places_of_ranks at_ranks "
    "maxima"
).split()

# Their work depends on values, or on an algorithm that the library does not choose.
UNKNOWN = (
    "eigh eigvalsh svd svdvals qr eig eigvals quotient pinv expm sqrtm solve_banded "
    "solve_sylvester full valid dft inverse_dft rdft irdft ctc_of_states product resample lgamma "
    "digamma polygamma polygamma_rise betaln erfinv log_gamma_quantile log_gamma_sample "
    "log_gamma_slope log_gamma_bend gamma_cdf normal_quantile beta_cdf beta_quantile "
    "poisson_quantile binomial_quantile gamma rgamma gammasgn gammainc gammaincc multigammaln beta "
    "betainc gamma_density beta_density j0 j1 jn y0 y1 yn i0 i0e i1 i1e iv ive erfcx erfcinv ndtr "
    "ndtri log_ndtr hazard stdtr entr rel_entr kl_div xlog1py"
).split()
