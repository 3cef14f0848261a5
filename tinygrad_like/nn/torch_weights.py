"""The weights of torch's attention and transformer modules under our names and in our layout."""

from collections.abc import Mapping
from typing import Any

# What a part of a torch path is called here. torch's decoder and encoder layers number their
# norms as ours do.
PARTS = {
    "self_attn": "attention",
    "multihead_attn": "cross_attention",
    "linear1": "feed_forward.up",
    "linear2": "feed_forward.down",
    "out_proj": "out",
}
TRANSPOSED = ("linear1", "linear2", "out_proj")
PROJECTIONS = ("query", "key", "value")


def from_torch_transformer(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state for `load_state_dict` of what torch's `state_dict()` holds under its own names.

    For torch.nn.MultiheadAttention, TransformerEncoderLayer, TransformerDecoderLayer,
    TransformerEncoder and TransformerDecoder; values are arrays or Tensors. torch stacks the
    query, key and value maps in `in_proj_weight` (3 d_model, d_model) and holds every weight as
    (n_out, n_in), which is turned here. Paths that are not among these keep their names.

    Raises:
        ValueError: for keys or values of their own width, or a bias appended to them.
    """
    ours: dict[str, Any] = {}
    for path, value in state.items():
        *above, name = path.split(".")
        if name in ("bias_k", "bias_v") or (name.endswith("_proj_weight") and name[0] in "qkv"):
            raise ValueError(
                f"[from_torch_transformer] {path} has no counterpart: MultiHeadAttention has keys "
                "and values of width d_model and appends no bias to them"
            )
        place = [PARTS.get(part, part) for part in above]
        if name in ("in_proj_weight", "in_proj_bias"):
            kind = name.removeprefix("in_proj_")
            d_model = value.shape[0] // 3
            for i, projection in enumerate(PROJECTIONS):
                part = value[i * d_model : (i + 1) * d_model]
                ours[".".join([*place, projection, kind])] = part.T if kind == "weight" else part
        else:
            turned = name == "weight" and above and above[-1] in TRANSPOSED
            ours[".".join([*place, name])] = value.T if turned else value
    return ours
