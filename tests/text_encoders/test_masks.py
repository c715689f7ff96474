"""Masks reach the BERT layers as the same numbers, whichever major of transformers takes them."""

import pytest
import torch
from transformers import BertConfig, BertModel

from bus_toolkit.text_encoders import masks
from bus_toolkit.text_encoders.masks import mask_for_layers, square_mask

MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_a_square_mask_says_for_each_token_the_same() -> None:
    wanted = [[[True, True, False]] * 3, [[True, False, False]] * 3]
    assert square_mask(MASK).tolist() == wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_sum_is_nothing_where_a_token_is_read_and_the_least_number_elsewhere(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "_TAKES_SUMS", True)
    added, least = mask_for_layers(square_mask(MASK), dtype), torch.finfo(dtype).min
    assert added.shape == (2, 1, 3, 3) and added.dtype is dtype
    assert added[0, 0].tolist() == [[0.0, 0.0, least]] * 3
    monkeypatch.setattr(masks, "_TAKES_SUMS", False)
    assert mask_for_layers(square_mask(MASK), dtype).tolist()[1] == [[1, 0, 0]] * 3


def test_the_layers_read_what_the_mask_allows() -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=11, **sizes, attn_implementation="sdpa")
    bert, ids = BertModel(config, add_pooling_layer=False).eval(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    got = bert(ids, attention_mask=mask_for_layers(square_mask(MASK), bert.dtype)).last_hidden_state
    for row, length in ((0, 2), (1, 1)):
        alone = bert(ids[row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(got[row : row + 1, :length], alone, rtol=1e-5, atol=1e-5)
