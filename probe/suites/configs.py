"""What a ``config.json`` says of a model whose weights are a bare state dict, in one of three ways to say it.

Fields of our ``Architecture``; a TransformerLens config (``act_fn``, ``normalization_type``, ``attention_dir``, ...);
or a transformers config, which has ``model_type`` and is left as it is.
"""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from probe import storage
from probe.suites.architecture import LN_EPS, Architecture

Config = Mapping[str, Any] | str | None
"""A config, a path or URL of a JSON file with one, or None where all is to be told from the weights."""

_OURS = tuple(field.name for field in fields(Architecture))
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("biases", "causal", "attn_only"), (bool,)),
    "attention_coefficient": (float, int),
}
_KIND_NAMES = {int: "a whole number", bool: "true or false", float: "a number"}

_RENAMED = {"act_fn": "activation", "normalization_type": "normalization"}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "gelu"),
    "normalization": (None, "LN", "LNPre"),
    "attention_dir": ("causal", "bidirectional"),
}

_ONE_WAY: dict[str, tuple[Any, ...]] = {
    "positional_embedding_type": ("standard",),
    "eps": (LN_EPS,),
    "use_attn_scale": (True,),
    "scale_embedding": (False, None),
    "num_experts": (None,),
    "attn_scores_soft_cap": (-1, 0, None),
    "output_logits_soft_cap": (-1, 0, None),
    "relative_attention_max_distance": (None,),
    "relative_attention_num_buckets": (None,),
    "per_layer_head_dim": (None,),
    "per_layer_num_key_value_heads": (None,),
} | dict.fromkeys(
    (
        *("gated_mlp", "parallel_attn_mlp", "final_rms", "uses_rms_norm", "rmsnorm_uses_offset"),
        *("scale_attn_by_inverse_layer_idx", "use_local_attn", "use_qk_norm", "post_embedding_ln"),
        *("use_normalization_before_and_after", "load_in_4bit", "is_stateful", "is_multimodal"),
        *("is_audio_model", "is_visual_model"),
    ),
    (False, None),
)
"""TransformerLens' fields that say how a model computes, and the values for which ours computes the same."""

_WITHOUT_EFFECT = {
    *("model_name", "architecture", "original_architecture", "from_checkpoint", "checkpoint_index"),
    *("checkpoint_label_type", "checkpoint_value", "tokenizer_name", "tokenizer_prepends_bos", "tokenizer_appends_eos"),
    *(
        "default_prepend_bos",
        "default_padding_side",
        "device",
        "n_devices",
        "dtype",
        "seed",
        "init_mode",
        "init_weights",
    ),
    *("initializer_range", "n_params", "trust_remote_code", "decoder_start_token_id", "attn_implementation"),
    *("use_attn_result", "use_attn_in", "use_split_qkv_input", "use_hook_mlp_in", "use_hook_tokens"),
    *("ungroup_grouped_query_attention", "split_attention_weights", "layer_norm_folding", "tie_word_embeddings"),
    *("attn_types", "window_size", "experts_per_token"),  # of what is refused: local attention, experts
    *("vision_hidden_size", "vision_num_layers", "vision_num_heads", "mm_tokens_per_image"),
    *("rotary_dim", "rotary_base", "rotary_adjacent_pairs", "rotary_interleaved_cos_sin", "qk_norm_after_rope"),
    *("use_NTK_by_parts_rope", "NTK_by_parts_low_freq_factor", "NTK_by_parts_high_freq_factor", "NTK_by_parts_factor"),
}
"""TransformerLens' fields that do not change what a model with standard positions computes."""


def read_config(config: Config) -> dict[str, Any]:
    """A config as a dictionary; an empty one for None.

    Raises:
        ValueError: the file is not there, or holds no JSON object.
    """
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    try:
        content = json.loads(storage.read_bytes(config))
    except FileNotFoundError as error:
        raise ValueError(f"config: there is no file {config}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {config} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"config: {config} holds {type(content).__name__}; expected an object with a model's fields")
    return content


def is_transformers(config: Mapping[str, Any]) -> bool:
    """Whether a config is one of transformers."""
    return "model_type" in config


def compact_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says of our compact transformer: those of ``Architecture``'s fields that it gives.

    Args:
        config: in our fields or TransformerLens', or in both.

    Returns:
        Fields by our names. ``normalization`` may be ``"LNPre"``: LayerNorm without scale and shift, which is ours with
        scales of 1 and shifts of 0.

    Raises:
        ValueError: it asks for what our transformer does not do, or has a field that neither of the two knows; the
            message names all of them, with their values.
    """
    found: dict[str, Any] = {}
    wrong: list[str] = []
    unknown: list[str] = []
    for field, value in config.items():
        name = _RENAMED.get(field, field)
        allowed = _allowed(name, config)
        if allowed is None and name not in _OURS:
            if field not in _WITHOUT_EFFECT:
                near = difflib.get_close_matches(field, (*_OURS, *_RENAMED, *_CHOICES), n=1)
                unknown.append(f"{field} (did you mean {near[0]!r}?)" if near else field)
        elif allowed is not None and value not in allowed:
            expected = " or ".join(repr(choice) for choice in allowed)
            wrong.append(f"{field}: got {value!r}; expected {expected}")
        elif name == "attention_dir":
            found["causal"] = value == "causal"
        elif name in _CHOICES:
            found[name] = value
        elif name in _OURS:
            kinds = _KINDS.get(name, (int,))
            if kinds == (int,) and value in (None, -1):
                continue  # how TransformerLens writes a size that follows from others
            if type(value) not in kinds:
                wrong.append(f"{field}: got {value!r}; expected {_KIND_NAMES[kinds[0]]}")
            found[name] = value
    if found.get("attn_only"):
        found.pop("d_mlp", None)  # which TransformerLens writes all the same
    if unknown:
        wrong.append(f"{', '.join(unknown)}: no such field of ours nor of TransformerLens; ours are {', '.join(_OURS)}")
    if wrong:
        raise ValueError("\n  ".join(["config: describes a model that ours cannot be", *wrong]))
    return found


def _allowed(name: str, config: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The values that a field may have; None where any will do, or where the field is not known."""
    if name == "attn_scale":  # what scores are divided by
        return (-1, None, math.sqrt(config["d_head"])) if config.get("d_head") else (-1, None)
    if name == "n_key_value_heads":
        return (None, config.get("n_heads"))
    return _CHOICES.get(name) or _ONE_WAY.get(name)
