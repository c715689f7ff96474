"""What selectors may ask a block, against slow and obvious versions."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.backbones import block_access
from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.block_access import ViTBlockAccess
from bus_toolkit.backbones.block_passes import attention_half, queries_keys_values
from bus_toolkit.backbones.positions import TokenPositions
from tests.tiny import WIDTH, tiny_vit

POSITIONS = TokenPositions((2, 3))


def access(tokens: torch.Tensor, used: bool = False, weights: torch.Tensor | None = None) -> ViTBlockAccess:
    adapter = adapter_of(tiny_vit())
    states = queries_keys_values(adapter, adapter.layers[1], tokens, POSITIONS) if used else None
    return ViTBlockAccess(
        adapter, 2, positions=POSITIONS, tokens=tokens, block_input=tokens, key_weights=weights, used=states
    )


def tokens() -> torch.Tensor:
    return torch.randn(2, 7, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("used", [False, True])
def test_attention_received_is_the_mean_column_of_the_map(used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_access, "_CHUNK", 3)  # several pieces, the last one shorter
    adapter = adapter_of(tiny_vit())
    queries, keys, _ = queries_keys_values(adapter, adapter.layers[1], tokens(), POSITIONS)
    attention = (queries @ keys.transpose(-1, -2) / keys.shape[-1] ** 0.5).softmax(dim=-1)
    received = access(tokens(), used).attention_received()
    torch.testing.assert_close(received, attention.mean(dim=(1, 2))[:, 1:])
    assert not received.requires_grad


def test_attention_received_counts_keys_by_their_weights() -> None:
    weights = torch.ones(2, 6)
    weights[:, 2] = 0.0
    received = access(tokens(), weights=weights).attention_received()
    assert float(received[:, 2].max()) < 1e-4 < float(received[:, 3].min())


@pytest.mark.parametrize("used", [False, True])
def test_an_extra_token_reads_the_block_as_if_it_were_in_the_sequence_but_unread(used: bool) -> None:
    adapter, extra = adapter_of(tiny_vit()), torch.randn(2, 1, WIDTH, generator=torch.Generator().manual_seed(2))
    sequence = torch.cat([tokens(), extra], dim=1)
    hidden = torch.zeros(2, 8)
    hidden[:, -1] = float("-inf")  # nobody reads the extra token, not even itself
    layer = adapter.layers[1]
    wanted = adapter.feed_forward_half(layer, attention_half(adapter, layer, sequence, POSITIONS, hidden)[0])[:, -1:]
    torch.testing.assert_close(access(tokens(), used).read(extra), wanted)


def test_a_query_projection_takes_any_number_of_vectors() -> None:
    inside, many = access(tokens()), tokens()
    torch.testing.assert_close(inside.project_query(many)[:, 3], inside.project_query(many[:, 3]))
