"""Words and patches in one sequence: plain at keep 1, padding and batch mates change nothing, words choose patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.evaluation.zero_shot.class_texts import class_feats
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.plugin.manager import list_plugins
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens
from bus_toolkit.testing import tiny, tiny_batch, tiny_model
from bus_toolkit.testing.check import run_checks
from bus_toolkit.testing.selector_case import SelectorCase
from bus_toolkit.testing.selectors import SELECTOR_CHECKS
from tests.conftest import TwoRanks
from tests.tiny import tiny_backbone

WIDTHS = {"embed_dim": tiny.WIDTH, "text_dim": tiny.WIDTH}
list_plugins()  # loads them, so that their selectors are tried too
# Without those that work at one block of their own or read boxes.
OTHERS = ("Saliency", "GridPool", "UniformGrid", "OracleBoxes")
SELECTORS = [name for name in REGISTRIES.selectors.names() if name not in OTHERS]
STREAM: dict[str, Any] = {
    "text_encoder": {
        "type": "BertTextEncoder",
        "num_layers": 0,
        "hidden_size": tiny.WIDTH,
        "num_heads": 4,
        "max_text_length": 16,
    },
    "fusion": {"type": "SingleStreamFusion"},
    "decoder": {"type": "Identity"},
}


def fusion() -> SingleStreamFusion:
    torch.manual_seed(0)
    return SingleStreamFusion(**WIDTHS).eval()


def words(lengths: tuple[int, ...] = (9, 5, 2), length: int = 9, seed: int = 1) -> TextTokens:
    """Return the same words whatever the padded length; padding holds large numbers."""
    embeds = torch.nn.functional.pad(tiny.numbers(len(lengths), 9, tiny.WIDTH, seed=seed), (0, 0, 0, length - 9))
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    return TextTokens(embeds.masked_fill(~mask.unsqueeze(-1), 30.0), embeds[:, 0], mask)


def patches(backbone: TokenReducingBackbone, seed: int = 0) -> VisualTokens:
    shared = backbone.forward_shared(tiny.numbers(3, 3, tiny.SIDE, tiny.SIDE, seed=seed), 0)
    return VisualTokens(shared.tokens, backbone.num_prefix, shared.grid)


def selector(name: str, blocks: list[int] | None = None, **settings: Any) -> PatchSelector:
    torch.manual_seed(3)
    takes = REGISTRIES.selectors.get(name).signature.arguments
    node = {"type": name, "blocks": blocks or [2], **{key: value for key, value in settings.items() if key in takes}}
    part: PatchSelector = REGISTRIES.selectors.build(node, path="selector", **WIDTHS)
    for parameter in part.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return part


def image_of(fused: FusedTokens) -> VisualTokens:
    assert fused.image is not None
    return fused.image


def by_hand(backbone: TokenReducingBackbone, part: SingleStreamFusion, text: Tensor, image: Tensor) -> Tensor:
    """Return one pair, without padding, through the library's own blocks: (1, L + N, D), words first as in ViLT."""
    tokens = torch.cat([text + part.types.weight[0], image + part.types.weight[1]], dim=1)
    for layer in backbone.vit.layers:
        tokens = layer(tokens)
    return backbone.vit.ln1(tokens)


@pytest.mark.parametrize("name", SELECTORS)
def test_with_all_patches_kept_it_is_the_blocks_on_one_sequence(name: str) -> None:
    part = fusion()
    backbone = tiny_backbone(selector(name, keep_ratio=1.0))
    text, visual = words(), patches(backbone)
    plain = tiny_backbone()
    fused, bare = part(text, visual, backbone), part(text, visual, plain)
    assert torch.equal(fused.text, bare.text) and torch.equal(fused.visual, bare.visual)
    for row, length in enumerate((9, 5, 2)):
        alone = by_hand(plain, part, text.embeds[row : row + 1, :length], visual.embeds[row : row + 1])
        torch.testing.assert_close(fused.text[row, :length], alone[0, :length], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(fused.visual[row], alone[0, length:], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(fused.cls[row], torch.tanh(part.pool(alone[0, 0])), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SELECTORS)
def test_neither_padding_nor_batch_mates_change_a_pair(name: str) -> None:
    part, backbone = fusion(), tiny_backbone(selector(name, blocks=[1, 3]))
    text, visual = words(), patches(backbone)
    fused, longer = part(text, visual, backbone), part(words(length=14), visual, backbone)
    for row, length in enumerate((9, 5, 2)):
        short = TextTokens(
            text.embeds[row : row + 1, :length], text.pooled[:1], text.attention_mask[row : row + 1, :length]
        )
        one = VisualTokens(visual.embeds[row : row + 1], visual.num_prefix, visual.grid)
        once = part(short, one, backbone)
        for other in (fused, longer):
            torch.testing.assert_close(other.text[row, :length], once.text[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(other.visual[row], once.visual[0], atol=1e-5, rtol=1e-5)
            assert torch.equal(image_of(other).kept_patches()[row], image_of(once).kept_patches()[0])


@pytest.mark.parametrize("name", ["TSPS", "TRIPS"])
def test_two_texts_keep_different_patches_and_words_always_stay(name: str) -> None:
    part, backbone = fusion(), tiny_backbone(selector(name))
    visual = patches(backbone)
    one, two = (part(words(seed=seed), visual, backbone) for seed in (1, 2))
    assert not torch.equal(image_of(one).kept_patches(), image_of(two).kept_patches())
    assert one.text.shape == (3, 9, tiny.WIDTH)
    assert one.visual.shape[1] == image_of(one).embeds.shape[1] < 17


def test_the_gradient_of_the_scores_reaches_scorer_and_words_but_no_later_block() -> None:
    scorer = selector("TSPS")
    part, backbone = fusion().train(), tiny_backbone(scorer).train()
    text = words()
    text.embeds.requires_grad_()
    image_of(part(text, patches(backbone), backbone)).selections[0].decision.scores.sum().backward()
    assert scorer.text_proj.weight.grad is not None and scorer.text_proj.weight.grad.abs().sum() > 0
    assert text.embeds.grad is not None and (text.embeds.grad[text.attention_mask].abs().sum(dim=1) > 0).all()
    assert part.types.weight.grad is not None and (part.types.weight.grad.abs().sum(dim=1) > 0).all()
    assert backbone.vit.layers[3].ffn.layers[1].weight.grad is None


def test_image_and_text_run_alone_without_each_other() -> None:
    part, backbone = fusion(), tiny_backbone()
    text, visual = words(), patches(backbone)
    states = part.text_alone(text, backbone)
    for row, length in enumerate((9, 5, 2)):
        wanted = by_hand(backbone, part, text.embeds[row : row + 1, :length], visual.embeds[:1, :0])
        torch.testing.assert_close(states.embeds[row, :length], wanted[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states.pooled, states.embeds[:, 0])
    image = part.image_alone(visual, backbone, "all").embeds
    wanted = by_hand(backbone, part, text.embeds[:, :0], visual.embeds)
    torch.testing.assert_close(image, wanted, atol=1e-5, rtol=1e-5)


def test_a_selector_that_needs_words_keeps_the_promises_of_its_kind() -> None:
    run_checks(SelectorCase("PuMer", {}), SELECTOR_CHECKS)


def test_unequal_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="text_dim: words and patches go through the same blocks.* got 16 and 32"):
        SingleStreamFusion(text_dim=16, embed_dim=32)


@pytest.mark.parametrize("without_text", ["cls", "prompt", "none"])
def test_a_model_trains_on_all_objectives_and_counts_its_passes(without_text: str) -> None:
    heads = {name: {"type": kind} for name, kind in (("itm", "ITMHead"), ("mlm", "MLMHead"), ("ptm", "PatchTextHead"))}
    heads |= {"itc": {"type": "ITCHead", "feature_dim": 16}}
    model = tiny_model(heads, **STREAM, conditioning={"mode": "strict", "without_text": without_text})
    images, samples = tiny_batch()
    samples[2].region_only = True
    model.train()
    losses = model.loss(images, samples)
    torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
    idle = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.isfinite().all()]
    assert [name for name in idle if "text_decoder" not in name] == []
    counts = model.token_counts
    left = 17 if without_text == "none" else 1 + 8 + 1
    # 3 pairs of each of the 2 captions, and the 2 masked ones; the region row goes as far as the selector alone.
    assert {name: count.rows for name, count in counts.items()} == {"fused": 8, "free": 2, "caption_scores": 3}
    assert counts["fused"].tokens == {"block 2": 10, "decoder": 10}
    assert counts["free"].tokens["decoder"] == left


def losses_and_gradient(rows: slice) -> tuple[dict[str, Tensor], Tensor]:
    torch.manual_seed(0)  # of hidden words and wrong pairs
    heads = {name: {"type": kind} for name, kind in (("itm", "ITMHead"), ("mlm", "MLMHead"), ("ptm", "PatchTextHead"))}
    model = tiny_model({**heads, "itc": {"type": "ITCHead", "feature_dim": 16}}, **STREAM)
    batches = [tiny_batch(), tiny_batch()]
    images, samples = torch.cat([batch[0] for batch in batches]), [one for batch in batches for one in batch[1]]
    for number, one in enumerate(samples):
        one.image_id = number
    total, logged = model.parse_losses(model.loss(images[rows], samples[rows]))
    total.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return {name: torch.as_tensor(value).detach() for name, value in logged.items()}, gradient


def results_of_rank(rank: int) -> tuple[dict[str, Tensor], Tensor]:
    logged, gradient = losses_and_gradient(slice(rank, None, 2))
    dist.all_reduce(gradient)  # what DDP does
    return logged, gradient / 2


def test_two_ranks_equal_one_process(two_ranks: TwoRanks) -> None:
    """Wrong pairs come from the other rank, whose texts are padded to another length."""
    (logged, gradient), (expected, expected_gradient) = two_ranks(results_of_rank)[0], losses_and_gradient(slice(None))
    for name in expected:
        torch.testing.assert_close(logged[name].float(), expected[name].float(), atol=1e-5, rtol=1e-5, msg=name)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-3)


def test_predictions_and_questions_show_what_the_own_words_kept() -> None:
    heads = {
        "itc": {"type": "ITCHead", "feature_dim": 16},
        "itm": {"type": "ITMHead"},
        "ptm": {"type": "PatchTextHead"},
    }
    model = tiny_model(heads, **STREAM).eval()
    images, samples = tiny_batch()
    with torch.no_grad():
        predicted = model.predict(images, samples)
        visual = model.encode(images, [sample.text for sample in samples])
        cosines = model.similarity(images, [sample.text for sample in samples])
        match = model.match(images, [sample.text for sample in samples])
    kept = torch.stack([sample.kept for sample in predicted])
    assert torch.equal(kept, visual.kept_patches()) and (kept.sum(dim=1) == 8).all()
    feats = [torch.stack([sample.get(name) for sample in predicted]) for name in ("image_feats", "text_feats")]
    torch.testing.assert_close(cosines, feats[0] @ feats[1].T)
    # Names of classes are texts too: classification compares what retrieval compares.
    classes = class_feats(model, [sample.text for sample in samples], ["{}"])
    torch.testing.assert_close(feats[0] @ classes.T, cosines)
    positive = torch.tensor([sample.itm_positive for sample in predicted])
    torch.testing.assert_close(match, positive.sigmoid(), atol=1e-5, rtol=1e-5)
    assert not torch.equal(predicted[0].patch_scores, predicted[0].patch_scores_shuffled)
    # What is compared saw no text at all: another caption beside the image changes nothing.
    for sample in samples:
        sample.text = "a large green star"
    with torch.no_grad():
        other = model.predict(images, samples)
    assert torch.equal(torch.stack([sample.image_feats for sample in other]), feats[0])
