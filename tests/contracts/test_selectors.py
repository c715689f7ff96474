"""What every registered selector keeps, whoever registered it; a new one is tested without writing a line."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from bus_toolkit.ops.token_plan import num_kept
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import VisualTokens
from tests.tiny import WIDTH, images, text_tokens, tiny_host

NAMES = REGISTRIES.selectors.names()


def build(name: str, **settings: object) -> PatchSelector:
    torch.manual_seed(0)
    takes = REGISTRIES.selectors.get(name).signature.arguments
    settings = {key: value for key, value in settings.items() if key in takes}
    cfg = {"type": name, "blocks": [2], **settings}
    return REGISTRIES.selectors.build(cfg, path="model.selectors.0", embed_dim=WIDTH, text_dim=WIDTH)


def run(name: str, batch: Tensor | None = None, **settings: object) -> VisualTokens:
    pixels = images() if batch is None else batch
    return tiny_host(build(name, **settings))(pixels, text_tokens(pixels.shape[0]))


@pytest.mark.parametrize("name", NAMES)
def test_kept_indices_are_ascending_unique_and_counted_right(name: str) -> None:
    selection = run(name, keep_ratio=0.5).selections[0]
    indices = selection.plan.keep_indices
    assert indices.dtype == torch.int64
    assert (indices.diff(dim=1) > 0).all()
    ratio = 0.5 if "keep_ratio" in REGISTRIES.selectors.get(name).signature.arguments else 1.0
    assert indices.shape == (3, num_kept(16, ratio))
    assert selection.scores.shape == (3, 16)


@pytest.mark.parametrize("name", NAMES)
def test_the_origin_names_the_token_that_a_kept_patch_became(name: str) -> None:
    visual = run(name, keep_ratio=0.5)
    assert visual.origin is not None
    assert visual.origin.shape == (3, 16)
    assert visual.origin.max() < visual.embeds.shape[1] - visual.num_prefix
    kept = visual.selections[0].plan.keep_indices
    slots = visual.origin.gather(1, kept)
    assert torch.equal(slots, torch.arange(kept.shape[1]).expand_as(slots))


@pytest.mark.parametrize("name", NAMES)
def test_a_ratio_of_one_is_the_plain_transformer_bit_for_bit(name: str) -> None:
    assert torch.equal(run(name, keep_ratio=1.0).embeds, tiny_host()(images()).embeds)


@pytest.mark.parametrize("name", NAMES)
def test_eval_mode_repeats_and_no_sample_depends_on_its_batch(name: str) -> None:
    host, text = tiny_host(build(name, keep_ratio=0.5)), text_tokens()
    together = host(images(), text).embeds
    assert torch.equal(together, host(images(), text).embeds)
    alone = host(images()[1:2], text.index(torch.tensor([1]))).embeds
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    host = tiny_host(build(name, keep_ratio=0.5)).train()
    visual = host(images(), text_tokens())
    loss = visual.embeds.square().mean()
    if visual.selections[0].supervised:
        loss = loss + visual.selections[0].scores.square().mean()
    loss.backward()
    for parameter_name, parameter in host.selectors.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_left_as_it_was(name: str) -> None:
    host = tiny_host(build(name, keep_ratio=0.5))
    prefix = host.forward_prefix(images())
    before = prefix.tokens.clone()
    host.forward_suffix(prefix, text_tokens())
    assert torch.equal(prefix.tokens, before)


@pytest.mark.parametrize("name", NAMES)
def test_text_free_passes_do_not_need_text(name: str) -> None:
    host = tiny_host(build(name, keep_ratio=0.5))
    assert torch.isfinite(host(images(), None).embeds).all()


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_runs_and_stays_bfloat16(name: str) -> None:
    host = tiny_host(build(name, keep_ratio=0.5)).bfloat16()
    text = text_tokens()
    half = type(text)(text.embeds.bfloat16(), text.pooled.bfloat16(), text.attention_mask)
    assert host(images().bfloat16(), half).embeds.dtype == torch.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_state_pickle_and_copy_survive(name: str) -> None:
    source, target = build(name, keep_ratio=0.5).eval(), build(name, keep_ratio=0.5).eval()
    target.load_state_dict(source.state_dict())
    results = [
        tiny_host(part.eval())(images(), text_tokens()).embeds
        for part in (source, target, copy.deepcopy(source), pickle.loads(pickle.dumps(source)))
    ]
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_block_is_an_error_and_not_a_crash(name: str) -> None:
    from bus_toolkit.errors import ComponentError

    with pytest.raises(ComponentError, match="model.selectors.0"):
        REGISTRIES.selectors.build(
            {"type": name, "blocks": [0]}, path="model.selectors.0", embed_dim=WIDTH, text_dim=WIDTH
        )
