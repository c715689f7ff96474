import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.engine.cpu_attention import CPU_ATTENTION, cpu_attention

_SHAPE = (2, 3, 5, 4)


def _states(dtype):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(_SHAPE, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def _masks(dtype):
    shown = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    shown[:, :, :, -1] = False
    return [None, shown, torch.linspace(-1, 1, 5).to(dtype).expand(2, 1, 5, 5)]


@pytest.mark.parametrize("kind", CPU_ATTENTION)
@pytest.mark.parametrize("mask", [0, 1, 2])
@pytest.mark.parametrize("settings", [{}, {"scale": 0.3}])
def test_every_kind_gives_the_values_and_gradients_of_torch_in_float32(kind, mask, settings):
    expected, states = _states(torch.float32), _states(torch.float32)
    plain = F.scaled_dot_product_attention(*expected, attn_mask=_masks(torch.float32)[mask], **settings)
    with cpu_attention(kind):
        ours = F.scaled_dot_product_attention(*states, attn_mask=_masks(torch.float32)[mask], **settings)
    assert torch.allclose(ours, plain, atol=1e-6)
    for out in (plain, ours):
        out.pow(2).sum().backward()
    assert all(torch.allclose(a.grad, b.grad, atol=1e-5) for a, b in zip(states, expected, strict=True))


@pytest.mark.parametrize("kind", ["fused_float32", "unfused"])
@pytest.mark.parametrize("mask", [0, 1, 2])
def test_half_precision_stays_close_and_keeps_its_dtype_inside_autocast(kind, mask):
    states = _states(torch.bfloat16)
    exact = F.scaled_dot_product_attention(*(s.float() for s in states), attn_mask=_masks(torch.float32)[mask])
    with torch.autocast("cpu", dtype=torch.bfloat16), cpu_attention(kind):
        ours = F.scaled_dot_product_attention(*states, attn_mask=_masks(torch.bfloat16)[mask])
    assert ours.dtype is torch.bfloat16
    assert (ours.float() - exact).abs().max() < 0.05


def test_unfused_leaves_causal_attention_to_the_kernel():
    states = _states(torch.float32)
    with cpu_attention("unfused"):
        ours = F.scaled_dot_product_attention(*states, is_causal=True)
    assert torch.equal(ours, F.scaled_dot_product_attention(*states, is_causal=True))


def test_dropout_of_the_unfused_kind_keeps_the_mean():
    states = [torch.ones(64, 1, 4, 8) for _ in range(3)]
    torch.manual_seed(0)
    with cpu_attention("unfused"):
        ours = F.scaled_dot_product_attention(*states, dropout_p=0.5)
    assert abs(float(ours.mean()) - 1.0) < 0.1
    assert float(ours.std()) > 0.1


@pytest.mark.parametrize("kind", CPU_ATTENTION)
def test_arguments_may_come_by_position(kind):
    states = _states(torch.float32)
    with cpu_attention(kind):
        ours = F.scaled_dot_product_attention(*states, None, 0.0, True)
    assert torch.allclose(ours, F.scaled_dot_product_attention(*states, is_causal=True))


@pytest.mark.parametrize("kind", CPU_ATTENTION)
@pytest.mark.parametrize("as_bool", [True, False])
def test_a_row_that_may_read_nothing_gives_zero_and_finite_gradients(kind, as_bool):
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, 2] = False
    if not as_bool:
        mask = torch.zeros(2, 1, 5, 5).masked_fill(~mask, float("-inf"))
    states, expected = _states(torch.float32), _states(torch.float32)
    with cpu_attention(kind):
        ours = F.scaled_dot_product_attention(*states, attn_mask=mask)
    plain = F.scaled_dot_product_attention(*expected, attn_mask=mask)
    for out in (ours, plain):
        out.pow(2).sum().backward()
    assert not ours[1, :, 2].any() and torch.allclose(ours, plain, atol=1e-6)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-5) for a, b in zip(states, expected, strict=True))
