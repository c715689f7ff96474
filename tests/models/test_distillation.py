"""Heads that take soft targets of the momentum model, against slow versions made of its sources' formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads import ClassificationHead, ITCHead, MLMHead, PrefixLMHead, VLPHead, VQAHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.structures import FusedTokens
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, sample, samples, tiny_heads, tiny_model

ALPHA = 0.4
HEADS: dict[str, Callable[[], VLPHead]] = {
    "mlm": lambda: MLMHead(text_dim=WIDTH, vocabulary=LETTERS, mask_prob=0.4, alpha=ALPHA),
    "prefix_lm": lambda: PrefixLMHead(alpha=ALPHA),
    "vqa": lambda: VQAHead(vocabulary=LETTERS, alpha=ALPHA),
    "cls": lambda: ClassificationHead(text_dim=WIDTH, num_classes=3, num_images=2, alpha=ALPHA),
}


def model_of(name: str, momentum: dict[str, Any] | None = None, mode: str = "strict") -> VLPModel:
    """Return a model in float64 whose momentum copies have moved away from the weights."""
    torch.manual_seed(0)
    model = tiny_model(mode, heads={name: HEADS[name]()}, momentum={"decay": 0.9, **(momentum or {})}).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.momentum.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def rows() -> list[Any]:
    out = samples()
    for row, one in enumerate(out):
        one.set_field(row % 3, "gt_label", dtype=None)
        one.set_field([["ab", "c"], ["d"], [], ["efg"]][row], "gt_answer", dtype=None)
        one.set_field([[0.7, 0.3], [1.0], [], [0.5]][row], "gt_answer_weight", dtype=None)
    return out


def pixels(name: str) -> Tensor:
    """Return an image a text, or two."""
    return images(8).double().unflatten(0, (4, 2)) if name == "cls" else images(4).double()


def fused_both(model: VLPModel, name: str, tokens: Any, condition: Any) -> tuple[FusedTokens, FusedTokens]:
    """Return what model and momentum model make of a text: unpruned and text-free images in the latter."""
    flat, times = pixels(name).flatten(0, -4), pixels(name).flatten(0, -4).shape[0] // 4
    copies, encoders = model.momentum.copies, model.encoders
    text, text_m = encoders.encode_text(tokens), copies["text_encoder"](tokens)
    visual = encoders.encode_visual(encoders.encode_shared(flat), encoders.encode_text(condition).repeat_each(times))
    unpruned = copies["backbone"].forward_conditioned(copies["backbone"].forward_shared(flat), None, select="none")
    assert unpruned.embeds.shape[1] == 17
    visual_m = copies["decoder"](unpruned, None)
    return encoders.fuse(text.repeat_each(times), visual), copies["fusion"](text_m.repeat_each(times), visual_m)


def softened(logits: Tensor, logits_m: Tensor, labels: Tensor) -> Tensor:
    """Return ALBEF's loss of each place that has a label: (1 - alpha) CE - alpha sum softmax(m) log_softmax."""
    hard = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none").view(labels.shape)
    soft = -torch.sum(F.log_softmax(logits, dim=-1) * F.softmax(logits_m, dim=-1), dim=-1)
    return (1 - ALPHA) * hard + ALPHA * soft * (labels != -100)


def slow_mlm(model: VLPModel) -> Tensor:
    passes = model.passes(pixels("mlm"), rows())
    head, head_m = model.heads["mlm"], model.momentum.copies["heads"]["mlm"]
    masked, tokens = head.hide(passes.batch), passes.batch.tokens
    labels = tokens.input_ids.masked_fill(masked.tokens.input_ids == tokens.input_ids, -100)
    fused, fused_m = fused_both(model, "mlm", masked.tokens, masked.tokens)
    scores = [own.vocabulary(own.transform(f.text)) for own, f in ((head, fused), (head_m, fused_m))]
    return softened(*scores, labels).sum() / (labels != -100).sum()


def slow_prefix_lm(model: VLPModel) -> Tensor:
    passes = model.passes(pixels("prefix_lm"), rows())
    beginnings, (ids, mask) = model.heads["prefix_lm"].hide(passes.batch), passes.batch.tokens
    pair = fused_both(model, "prefix_lm", beginnings.tokens, beginnings.tokens)
    decoders = (model.text_decoder, model.momentum.copies["text_decoder"])
    scores = [decoder(passes.batch.tokens, *f.memory())[:, :-1] for decoder, f in zip(decoders, pair, strict=True)]
    wanted = mask & (torch.arange(ids.shape[1]) >= beginnings.lengths.unsqueeze(1))
    labels = ids.masked_fill(~wanted, -100)[:, 1:]
    return softened(*scores, labels).sum() / (labels != -100).sum()


def slow_vqa(model: VLPModel) -> Tensor:
    questions = model.encoders.tokenize([row.text for row in rows()])
    pair = fused_both(model, "vqa", questions, questions)
    decoders, total, count = (model.text_decoder, model.momentum.copies["text_decoder"]), 0.0, 0.0
    for index, row in enumerate(rows()):
        for answer, share in zip(row.gt_answer, row.gt_answer_weight, strict=True):
            tokens = model.encoders.tokenize([answer])
            memories = [tuple(part[index : index + 1] for part in f.memory()) for f in pair]
            scores = [decoder(tokens, *m)[:, :-1] for decoder, m in zip(decoders, memories, strict=True)]
            labels = tokens.input_ids[:, 1:]
            total, count = total + share * softened(*scores, labels).sum(), count + share * labels.numel()
    return total / count


def slow_cls(model: VLPModel) -> Tensor:
    tokens = model.encoders.tokenize([row.text for row in rows()])
    head, head_m = model.heads["cls"], model.momentum.copies["heads"]["cls"]
    pair = fused_both(model, "cls", tokens, tokens)
    scores = [own.classifier(f.cls.reshape(4, 2 * WIDTH)) for own, f in zip((head, head_m), pair, strict=True)]
    return softened(*scores, torch.tensor([row.gt_label for row in rows()])).mean()


@pytest.mark.parametrize("slow", [slow_mlm, slow_prefix_lm, slow_vqa, slow_cls], ids=["mlm", "prefix_lm", "vqa", "cls"])
def test_losses_and_gradients_equal_albefs_formula(slow: Callable[[VLPModel], Tensor]) -> None:
    name = slow.__name__.removeprefix("slow_")
    results = []
    for run in (lambda model: model.loss(pixels(name), rows())[f"loss_{name}"], slow):
        model = model_of(name).eval()
        loss = run(model)
        loss.backward()
        assert all(parameter.grad is None for parameter in model.momentum.parameters())
        results.append((loss.detach(), {key: p.grad for key, p in model.named_parameters() if p.grad is not None}))
    (fast, gradients), (expected, wanted) = results
    assert abs(fast.item() - expected.item()) < 1e-6
    assert gradients.keys() == wanted.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[key], atol=1e-6, rtol=0, msg=key)


def test_without_a_share_the_loss_is_that_of_the_right_words() -> None:
    model = model_of("mlm", {"alpha_ramp_epochs": 1.0})
    model.set_progress(0.0, 0)
    ramped = model.loss(pixels("mlm"), rows())["loss_mlm"]
    plain = tiny_model("strict", heads={"mlm": MLMHead(text_dim=WIDTH, vocabulary=LETTERS, mask_prob=0.4)}).double()
    plain.load_state_dict({key: value for key, value in model.state_dict().items() if "momentum" not in key})
    plain.set_progress(0.0, 0)
    torch.testing.assert_close(ramped, plain.loss(pixels("mlm"), rows())["loss_mlm"], atol=1e-12, rtol=0)


def test_the_share_grows_over_the_first_epochs_for_all_heads() -> None:
    """ALBEF: alpha * min(1, i / len(loader)) in the first epoch; BLIP: over two."""
    model = model_of("mlm", {"alpha_ramp_epochs": 2.0})
    assert model.momentum.trust == 1.0, "outside of a training"
    seen = []
    for epoch in (0.0, 0.5, 1.0, 2.0, 7.25):
        model.set_progress(epoch, 0)
        seen.append(model.momentum.trust)
    assert seen == [0.0, 0.25, 0.5, 1.0, 1.0]


def test_the_contrast_follows_the_ramp() -> None:
    def loss(epoch: float, alpha: float) -> float:
        heads = {"itc": ITCHead(embed_dim=WIDTH, text_dim=WIDTH, feature_dim=16, alpha=alpha)}
        model = tiny_model(heads=heads, momentum={"decay": 0.9, "alpha_ramp_epochs": 1.0})
        model.set_progress(epoch, 0)
        return model.loss(images(4), samples())["loss_itc"].item()

    assert loss(0.5, 0.4) == pytest.approx(loss(2.0, 0.2), abs=1e-7)
    assert loss(0.0, 0.4) == pytest.approx(loss(2.0, 0.0), abs=1e-7)
    assert loss(1.0, 0.4) != pytest.approx(loss(2.0, 0.2), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "copied"),
    [
        ({}, []),
        ({"mlm": ALPHA}, ["fusion", "heads"]),
        ({"prefix_lm": ALPHA}, ["fusion", "text_decoder"]),
        ({"mlm": ALPHA, "prefix_lm": ALPHA}, ["fusion", "text_decoder", "heads"]),
    ],
    ids=str,
)
def test_only_what_a_head_distils_by_is_copied(settings: dict[str, float], copied: list[str]) -> None:
    heads = {**tiny_heads(), **{name: HEADS[name]() for name in settings}}
    model = tiny_model(heads=heads, momentum={})
    assert set(model.momentum.copies) == {"text_encoder", "backbone", "decoder", "projections", *copied}
    model.loss(images(4), samples())


def test_a_head_without_contrast_needs_no_projections() -> None:
    assert set(model_of("vqa").momentum.copies) == {"text_encoder", "backbone", "decoder", "fusion", "text_decoder"}


def test_weights_of_a_training_that_did_not_distil_start_the_new_copies() -> None:
    source = tiny_model(heads=tiny_heads(), momentum={})
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.5)
        source.momentum.copies["text_encoder"].bert.embeddings.word_embeddings.weight.add_(1.0)
    target = tiny_model(heads={**tiny_heads(), "mlm": HEADS["mlm"]()}, momentum={})
    assert not target.load_state_dict(source.state_dict(), strict=False).missing_keys
    copies, own = target.momentum.copies, target.momentum.copies["heads"]["mlm"]
    assert torch.equal(own.vocabulary.weight, source.heads["mlm"].vocabulary.weight)
    assert torch.equal(next(copies["fusion"].parameters()), next(source.fusion.parameters()))
    kept = source.momentum.copies["text_encoder"].bert.embeddings.word_embeddings.weight
    assert torch.equal(copies["text_encoder"].bert.embeddings.word_embeddings.weight, kept)


def test_copies_of_head_and_fusion_move_with_their_originals() -> None:
    model = model_of("mlm")
    own, copied = model.heads["mlm"].vocabulary.weight, model.momentum.copies["heads"]["mlm"].vocabulary.weight
    expected = copied + 0.1 * (own - copied)
    model.after_step()
    torch.testing.assert_close(model.momentum.copies["heads"]["mlm"].vocabulary.weight, expected)


def test_images_that_the_momentum_model_selects_are_read_selected() -> None:
    model = model_of("mlm", {"selection": "same"}, mode="shared")
    seen: list[int] = []
    model.momentum.copies["backbone"].vit.layers[3].register_forward_hook(lambda m, a, out: seen.append(out.shape[1]))
    model.loss(pixels("mlm"), rows())
    assert len(seen) == 1 and seen[0] < 17


@pytest.mark.parametrize(
    ("heads", "arguments", "message"),
    [
        (
            {"mlm": HEADS["mlm"]()},
            {},
            r"model.heads.mlm.alpha: MLMHead takes soft targets of the momentum model, got 0.4",
        ),
        (
            {"itc": tiny_heads()["itc"]},
            {"momentum": {"alpha_ramp_epochs": -1.0}},
            r"alpha_ramp_epochs: must be 0 or more, and finite, got -1.0",
        ),
    ],
)
def test_what_cannot_distil_is_refused(heads: dict[str, VLPHead], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        tiny_model(heads=heads, **arguments)


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_share_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"alpha: must be in \[0, 1\], got"):
        PrefixLMHead(alpha=value)


def test_region_rows_are_left_out() -> None:
    model = tiny_model(heads={**tiny_heads(), "mlm": HEADS["mlm"]()}, momentum={})
    batch = [*samples(), sample("ab", 9, region_only=True)]
    assert torch.isfinite(model.loss(images(5), batch)["loss_mlm"])
