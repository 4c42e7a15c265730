"""Which hook points a pattern means, and how far the forward pass has to go for them."""

import pytest

from probe.activations.sites import LOGITS, match_sites, stop_layer
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer

ARCH = Architecture(d_vocab=8, n_ctx=3, d_model=8, n_heads=2, n_layers=3)
NAMES = tuple(HookedTransformer(ARCH).hook_dict)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["hook_embed"], ["hook_embed"]),
        (["blocks.*.hook_resid_post"], [f"blocks.{layer}.hook_resid_post" for layer in range(3)]),
        (["blocks.[02].hook_mlp_out"], ["blocks.0.hook_mlp_out", "blocks.2.hook_mlp_out"]),
        (["blocks.?.attn.hook_z", "hook_e*"], ["hook_embed", *(f"blocks.{layer}.attn.hook_z" for layer in range(3))]),
        ([LOGITS, "hook_embed", LOGITS, "hook_*embed"], ["hook_embed", "hook_pos_embed", LOGITS]),
        ([], []),
    ],
)
def test_patterns_mean_sites_once_each_in_model_order(patterns, expected):
    assert match_sites(patterns, NAMES) == tuple(name for name in NAMES if name in expected)
    assert set(match_sites(patterns, NAMES)) == set(expected)


def test_everything():
    assert match_sites(["*"], NAMES) == NAMES


@pytest.mark.parametrize(
    ("pattern", "closest"),
    [
        ("blocks.0.hook_resid_pots", "blocks.0.hook_resid_post"),
        ("blocks.7.attn.hook_pattern", r"blocks\.[012]\.attn\.hook_pattern"),
        ("unembed.hook_ouput", "unembed.hook_out"),
        ("BLOCKS.0.ATTN.HOOK_Z", "blocks"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_that_lists_the_closest(pattern, closest):
    with pytest.raises(
        ValueError, match=rf"sites: '{pattern}' matches no hook point; the closest are .*{closest}"
    ) as e:
        match_sites(["hook_embed", pattern], NAMES)
    named = str(e.value).partition("the closest are ")[2].split(", ")
    assert len(named) == 3
    assert set(named) <= set(NAMES)


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ([], 0),
        (["hook_embed", "hook_pos_embed"], 0),
        (["blocks.0.hook_resid_pre"], 1),
        (["hook_embed", "blocks.1.attn.hook_z", "blocks.0.mlp.hook_post"], 2),
        (["blocks.2.hook_resid_post"], 3),
        (["blocks.11.hook_resid_post"], 3),
        (["ln_final.hook_scale", "hook_embed"], None),
        ([LOGITS], None),
        (["blocks.0.hook_resid_pre", LOGITS], None),
    ],
)
def test_the_pass_stops_after_the_last_block_that_is_needed(sites, expected):
    assert stop_layer(sites, 3) == expected
