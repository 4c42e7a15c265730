import numpy as np
import pytest
import torch

from probe.measures.weights import sum_of_squares


def test_each_weight_counts_in_its_part_and_in_all():
    weights = {
        "embed.W_E": torch.full((2, 3), 2.0),  # 24
        "pos_embed.W_pos": np.ones((1, 3)),  # 3
        "blocks.0.attn.W_Q": torch.full((1, 3, 2), -1.0),  # 6
        "blocks.11.attn.b_O": torch.full((3,), 3.0),  # 27
        "blocks.0.mlp.W_in": torch.ones(3, 4),  # 12
        "blocks.0.ln1.w": torch.ones(3),  # 3
        "ln_final.b": torch.ones(3),  # 3
        "unembed.W_U": torch.full((3, 2), 0.5),  # 1.5
    }
    assert sum_of_squares(weights) == {
        "all": 79.5,
        "embedding": 27.0,
        "attention": 33.0,
        "mlp": 12.0,
        "unembedding": 1.5,
        "normalization": 6.0,
    }


def test_parts_a_model_does_not_have_are_left_out():
    assert sum_of_squares({"embed.W_E": torch.ones(2, 2)}) == {"all": 4.0, "embedding": 4.0}


def test_constants_of_a_state_dict_are_not_weights():
    weights = {
        "blocks.0.attn.W_V": torch.ones(1, 2, 2),
        "blocks.0.attn.mask": torch.ones(3, 3, dtype=torch.bool),
        "blocks.0.attn.IGNORE": torch.tensor(-1e5),
    }
    assert sum_of_squares(weights) == {"all": 4.0, "attention": 4.0}


def test_float32_weights_are_summed_in_float64():
    weights = {"unembed.W_U": torch.cat([torch.tensor([1e4]), torch.full((1000,), 1e-1)])}
    assert sum_of_squares(weights)["all"] == pytest.approx(1e8 + 10, rel=1e-9)


@pytest.mark.parametrize("name", ["x_embed", "unembedding.W_U", "blocks.0.W_Q", "W_E"])
def test_a_name_that_belongs_to_no_part_is_refused(name):
    with pytest.raises(ValueError, match=f"name '{name}' given, expected a TransformerLens name"):
        sum_of_squares({name: torch.ones(1)})
