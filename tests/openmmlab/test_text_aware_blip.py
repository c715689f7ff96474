"""mmpretrain's BLIP with selectors that read texts: which text selects what, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.backbones.conditioned_pass import ConditionedPass
from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.openmmlab import conditioned_on
from bus_toolkit.structures import TextTokens, VisualTokens
from tests.openmmlab.blip_tiny import ELIP, EVIT, TRIPS, TSPS, aware, built, images, plain, samples, write_vocabulary

ONE_TEXT = ["BlipVQA", "BlipNLVR", "BlipGrounding", "BlipCaption"]
KINDS = ["BlipRetrieval", *ONE_TEXT]
SELECTORS = {"TSPS": TSPS, "TRIPS": TRIPS, "ELIP": ELIP}
CASES = [(kind, selector) for kind in KINDS for selector in SELECTORS.values()]
CASES += [("BlipVQA", {**TSPS, "type": "TPD"}), ("BlipVQA", EVIT), ("BlipRetrieval", EVIT)]
TEXTS = ("red circle", "blue star left of the square")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


def pictures(kind: str, count: int = 2) -> Tensor:
    return images(count, 2) if kind == "BlipNLVR" else images(count)


def loss_of(model: nn.Module, kind: str, *texts: str, **settings: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)  # negatives are drawn
    return model(pictures(kind, len(texts)), samples(*texts, **settings), mode="loss")


@contextmanager
def watched() -> Iterator[list[tuple[TextTokens | None, VisualTokens]]]:
    """Collect the text and the result of each pass through the blocks after the first selector."""
    seen: list[tuple[TextTokens | None, VisualTokens]] = []
    run = ConditionedPass.run

    def watch(self: ConditionedPass, last_block: int) -> VisualTokens:
        result = run(self, last_block)
        seen.append((self._text, result))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConditionedPass, "run", watch)
        yield seen


@pytest.mark.parametrize(("kind", "selector"), [*((kind, TSPS) for kind in KINDS), ("BlipRetrieval", ELIP)])
def test_keeping_everything_is_mmpretrains_model_bit_for_bit(
    kind: str, selector: dict[str, Any], vocabulary: str
) -> None:
    bare = built(plain(kind, vocabulary))
    ours = built(aware(plain(kind, vocabulary), {**selector, "keep_ratio": 1.0}), like=bare)
    expected, got = (loss_of(model, kind, *TEXTS) for model in (bare, ours))
    assert expected.keys() == got.keys()
    for name, loss in expected.items():
        assert torch.equal(loss, got[name]), name


@pytest.mark.parametrize(("kind", "selector"), CASES)
def test_losses_are_finite_and_reach_the_scorer(kind: str, selector: dict[str, Any], vocabulary: str) -> None:
    model = built(aware(plain(kind, vocabulary), selector))
    losses = loss_of(model, kind, *TEXTS)
    total = torch.stack([loss for loss in losses.values() if loss.requires_grad]).sum()
    assert total.isfinite()
    total.backward()
    backbone = model.vision_backbone if kind == "BlipRetrieval" else model.image_model
    for name, parameter in backbone.selectors.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", ["BlipVQA", "BlipNLVR", "BlipGrounding"])
def test_two_texts_keep_different_patches_of_one_image(kind: str, vocabulary: str) -> None:
    model = built(aware(plain(kind, vocabulary), TSPS))
    kept = []
    for text in TEXTS:
        with watched() as seen:
            loss_of(model, kind, text)
        assert len(seen) == 1 and seen[0][0] is not None
        kept.append(seen[0][1].kept_patches())
    assert kept[0].shape == kept[1].shape and not torch.equal(*kept)


@pytest.mark.parametrize("kind", ["BlipVQA", "BlipNLVR"])
def test_each_image_has_its_own_text_whatever_the_order_of_images_is(kind: str, vocabulary: str) -> None:
    """Frames of a video lie beside each other, both images of a statement a batch apart."""
    model = built(aware(plain(kind, vocabulary), TSPS))
    batch = images(2, 2)
    with watched() as both:
        model(batch, samples(*TEXTS), mode="loss")
    with watched() as alone:
        for index, text in enumerate(TEXTS):
            model(batch[index : index + 1], samples(text), mode="loss")
    rows = [0, 1, 2, 3] if kind == "BlipVQA" else [0, 2, 1, 3]
    expected = torch.cat([visual.embeds for _, visual in alone])[rows]
    assert torch.allclose(both[0][1].embeds, expected, atol=1e-5)


def test_a_caption_is_selected_by_the_prompt_and_never_by_itself(vocabulary: str) -> None:
    model = built(aware(plain("BlipCaption", vocabulary), TSPS))
    with watched() as seen:
        for text in TEXTS:
            loss_of(model, "BlipCaption", text)
    assert torch.equal(seen[0][1].embeds, seen[1][1].embeds)
    model.prompt = "the star is "
    with watched() as other:
        loss_of(model, "BlipCaption", TEXTS[0])
    assert not torch.equal(seen[0][1].kept_patches(), other[0][1].kept_patches())


def test_contrast_reads_no_text_and_each_pair_is_selected_by_its_own(vocabulary: str) -> None:
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS))
    with watched() as seen:
        loss_of(model, "BlipRetrieval", *TEXTS)
    # The features for contrast, the momentum branch, the pairs, and two wrong pairs for each.
    assert [None if text is None else len(text.pooled) for text, _ in seen] == [None, None, 2, 4]
    own, pairs = seen[2][0], seen[3][0]
    assert own is not None and pairs is not None
    # Two pairs, two texts: each negative image meets the other's text, and each image the other text.
    assert torch.allclose(pairs.pooled, own.pooled[[0, 1, 1, 0]], atol=1e-6)
    features = [model.extract_feat(images(2), samples(*texts))["image_feat"] for texts in (TEXTS, TEXTS[::-1])]
    assert torch.equal(*features)


def test_a_shared_pass_reads_the_own_caption_in_training_alone(vocabulary: str) -> None:
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS, conditioning="shared"))
    with watched() as seen:
        loss_of(model, "BlipRetrieval", *TEXTS)
    assert [text is None for text, _ in seen] == [False, True]
    features = [model.extract_feat(images(2), samples(*texts))["image_feat"] for texts in (TEXTS, TEXTS[::-1])]
    assert torch.equal(*features)


@pytest.mark.parametrize("conditioning", ["strict", "shared"])
def test_candidates_are_ranked_again_under_their_own_texts(conditioning: str, vocabulary: str) -> None:
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS, conditioning=conditioning))
    pair = samples(*TEXTS)
    with torch.no_grad(), watched() as seen:
        by_image, by_text = model(images(2), pair, mode="predict")
    assert [len(text.pooled) for text, _ in seen[1:] if text is not None] == [2, 2, 2, 2]
    # One pair, computed alone: the image under the text, then mmpretrain's own matching.
    tokens = model.preprocess_text(pair[1:])
    text = model.text_backbone(tokens.input_ids, attention_mask=tokens.attention_mask, mode="text", return_dict=True)
    with conditioned_on(model.vision_backbone, TextTokens.of(text.last_hidden_state, tokens.attention_mask)):
        embeds = model.vision_backbone(images(2)[:1])[0]
    tokens.input_ids[:, 0] = model.tokenizer.additional_special_tokens_ids[0]
    fused = model.text_backbone(
        tokens.input_ids,
        attention_mask=tokens.attention_mask,
        encoder_hidden_states=embeds,
        encoder_attention_mask=torch.ones(embeds.shape[:2]),
        return_dict=True,
    )
    matched = model.multimodal_head((fused.last_hidden_state[:, 0],))[0, 1]
    similarity = (
        model.extract_feat(images(2)[:1])["image_feat"] @ model.extract_feat(None, pair[1:])["text_feat"].t()
    ).squeeze()
    assert torch.allclose(by_image[0].pred_score[1], matched + similarity, atol=1e-5)
    assert torch.allclose(by_text[1].pred_score[0], matched + similarity, atol=1e-5)


def test_images_that_the_backbone_gets_by_name_are_refused(vocabulary: str) -> None:
    backbone = built(aware(plain("BlipRetrieval", vocabulary), TSPS)).vision_backbone
    with (
        pytest.raises(ConfigError, match=r"images as the first argument .* Call backbone\(images\)"),
        conditioned_on(backbone, None),
    ):
        backbone(images=images(2))


def test_more_candidates_than_there_are_images_or_texts_are_refused(vocabulary: str) -> None:
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS, topk=3))
    with torch.no_grad(), pytest.raises(BusError, match="model.topk: .* got 3 for 3 images and 2 texts. Lower it"):
        model.predict_all({"image_feat": torch.zeros(3, 16), "text_feat": torch.zeros(2, 16)}, [])


@pytest.mark.parametrize("settings", [{}, {"without_text": "none"}], ids=["CLS attention", "everything"])
def test_what_a_pass_without_text_keeps_is_a_setting(settings: dict[str, Any], vocabulary: str) -> None:
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS, **settings))
    with watched() as seen:
        loss_of(model, "BlipRetrieval", *TEXTS)
    assert [visual.kept_patches().sum(dim=1).tolist() for _, visual in seen[:2]] == [[16 if settings else 8] * 2] * 2


@pytest.mark.parametrize("kind", ["BlipVQA", "BlipNLVR"])
def test_fewer_patches_are_fewer_macs(kind: str, vocabulary: str) -> None:
    bare, ours = built(plain(kind, vocabulary)), built(aware(plain(kind, vocabulary), {**TSPS, "keep_ratio": 0.25}))
    before, after = (count_macs(lambda m=model: loss_of(m, kind, *TEXTS)) for model in (bare, ours))
    assert 0 < after < before


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_recomputed_backbone_reads_the_same_text_after_the_forward_pass(vocabulary: str, use_reentrant: bool) -> None:
    """As MMEngine's ``activation_checkpointing`` wraps a module: by its forward, arguments in order."""
    grads = []
    for recompute in (False, True):
        model = built(aware(plain("BlipVQA", vocabulary), TSPS))
        model.train()
        forward = model.vision_backbone.forward
        if recompute:
            model.vision_backbone.forward = lambda *args: checkpoint(forward, *args, use_reentrant=use_reentrant)  # noqa: B023
        loss_of(model, "BlipVQA", *TEXTS)["vqa_loss"].backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    if use_reentrant:  # its inputs need a gradient, which images have not: the text has
        assert any("selectors" in name for name in grads[1])
    assert grads[0].keys() == grads[1].keys()
    assert all(torch.allclose(grads[0][name], grads[1][name], atol=1e-6) for name in grads[0])


def test_nothing_is_left_on_the_model_after_an_error(vocabulary: str) -> None:
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS, conditioning="shared"))
    with pytest.raises(Exception):  # noqa: B017 (whatever mmpretrain raises: no image_id)
        model(images(2), [sample for sample in samples(*TEXTS, image_id=None)], mode="loss")
    assert not model._is_shared_pass
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert loss_of(model, "BlipRetrieval", *TEXTS)["itm_loss"].isfinite()


def test_a_plain_checkpoint_loads_and_a_state_dict_comes_back(vocabulary: str) -> None:
    bare = built(plain("BlipRetrieval", vocabulary))
    ours = built(aware(plain("BlipRetrieval", vocabulary), TSPS))
    missing, unexpected = ours.load_state_dict(bare.state_dict(), strict=False)
    assert not unexpected and all(".selectors." in name for name in missing)
    again = built(aware(plain("BlipRetrieval", vocabulary), TSPS))
    again.load_state_dict(ours.state_dict())
    assert torch.equal(again.vision_backbone.vit.pos_embed, bare.vision_backbone.pos_embed)


def test_boxes_teach_the_selector_of_grounding(vocabulary: str) -> None:
    cfg = aware(plain("BlipGrounding", vocabulary), TSPS, patch_text_weight=0.5)
    model = built(cfg)
    losses = loss_of(model, "BlipGrounding", *TEXTS)
    losses["loss_ptm"].backward()
    scorer = model.visual_encoder.selectors[0]
    assert scorer.text_proj.weight.grad.abs().sum() > 0
    with watched() as seen:
        loss_of(model, "BlipGrounding", *TEXTS)
    scores = seen[0][1].selections[0].decision.scores
    labels = torch.tensor([[1.0, 1, 0, 0] + [0] * 12] * 2)  # the box covers the first two of 4 x 4 patches of 8 pixels
    expected = 0.5 * nn.functional.binary_cross_entropy_with_logits(scores, labels)
    assert torch.allclose(losses["loss_ptm"], expected)
    with pytest.raises(BusError, match="patch_text_weight needs boxes, got no 'gt_bboxes' in a whole batch"):
        loss_of(built({**cfg, "patch_text_boxes": "gt_bboxes"}), "BlipGrounding", *TEXTS)


@pytest.mark.parametrize("kind", ["BlipCaption", "BlipVQA"])
def test_our_decoder_writes_beside_current_transformers(kind: str, vocabulary: str) -> None:
    cfg = plain(kind, vocabulary)
    (cfg.get("decoder_head") or cfg["head"])["decoder"]["type"] = "bus_toolkit.XBertLMHeadDecoder"
    predictions = built(aware(cfg, TSPS))(images(2), samples(*TEXTS), mode="predict")
    assert all(isinstance(p.get("pred_caption", p.get("pred_answer")), str) for p in predictions)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("BlipVQA", {"selectors": []}, r"model.selectors: TextAwareBlipVQA needs a list of selectors"),
        ("BlipVQA", {"selectors": [{**TSPS, "blocks": [9]}]}, r"model.selectors.0.blocks: the backbone has 4 blocks"),
        (
            "BlipVQA",
            {"selectors": [{**TSPS, "type": "TSPZ"}]},
            r"selectors.0.type: no patch selector named 'TSPZ'",
        ),
        ("BlipVQA", {"selectors": [EVIT], "patch_text_weight": 1.0}, r"patch_text_weight: no selector here learns"),
        (
            "BlipVQA",
            {"selectors": [{**TSPS, "type": "Objectness"}], "patch_text_weight": 1.0},
            r"patch_text_weight: the boxes here are .* Use",
        ),
        ("BlipVQA", {"patch_text_weight": -1.0}, r"patch_text_weight: must be 0 or more, got -1\.0"),
        ("BlipRetrieval", {"conditioning": "free"}, r"model.conditioning: must be strict or shared, got 'free'"),
        ("BlipOFA", {}, r"named 'TextAwareBlipOFA'.*Models: .*TextAwareBlipCaption, .*TextAwareBlipVQA"),
    ],
)
def test_a_mistake_is_said_with_its_place(kind: str, changes: dict[str, Any], message: str, vocabulary: str) -> None:
    base = "BlipVQA" if kind == "BlipOFA" else kind
    cfg = {**aware(plain(base, vocabulary), TSPS), "type": f"bus_toolkit.TextAware{kind}", **changes}
    with pytest.raises(BusError, match=message):
        built(cfg)


def test_a_selector_that_reads_texts_is_refused_where_no_model_gives_one(vocabulary: str) -> None:
    cfg = plain("BlipVQA", vocabulary)
    backbone = {"type": "bus_toolkit.TokenReducedViT", "vit": cfg["vision_backbone"], "selectors": [TSPS]}
    with pytest.raises(BusError, match=r"TSPS reads a text, got a backbone that gets none.*TextAwareBlipRetrieval"):
        built({**cfg, "vision_backbone": backbone})
    with pytest.raises(BusError, match=r"TextSemanticPatchSelector reads a text, got a pass without one"):
        built({**cfg, "vision_backbone": {**backbone, "text_dim": 32}})(images(2), samples(*TEXTS))
    with pytest.raises(BusError, match="puts the selectors in itself, got a TokenReducedViT"):
        built(aware({**cfg, "vision_backbone": {**backbone, "selectors": [EVIT]}}, TSPS))
    with pytest.raises(
        BusError, match=r"data_samples: TextAwareBlipRetrieval selects patches by their 'text', got none"
    ):
        built(aware(plain("BlipRetrieval", vocabulary), TSPS))(images(2), None, mode="loss")
    with pytest.raises(BusError, match=r"data_samples.1: TextAwareBlipVQA selects patches by 'question', one text"):
        model = built(aware(cfg, TSPS))
        model(images(2), [*samples(TEXTS[0]), *samples(TEXTS[1], question=None)])


def gradient_of_rank(rank: int, vocabulary: str, conditioning: str) -> Tensor:
    """Train two steps on two ranks and return the last gradient of the scorer's text projection."""
    model = built(aware(plain("BlipRetrieval", vocabulary), TSPS, conditioning=conditioning))
    model.train()
    parallel = MMDistributedDataParallel(model, device_ids=None)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in range(2):
        pair = samples(*TEXTS)
        for index, sample in enumerate(pair):
            sample.set_field(4 * step + 2 * rank + index, "image_id")
        losses = parallel(images(4)[2 * rank : 2 * rank + 2], pair, mode="loss")
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    return model.vision_backbone.selectors[0].text_proj.weight.grad


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["strict", "shared"])
def test_two_ranks_learn_the_same_with_each_others_negatives(
    conditioning: str, vocabulary: str, two_ranks: Any
) -> None:
    first, second = two_ranks(gradient_of_rank, vocabulary, conditioning)
    assert first.abs().sum() > 0 and torch.equal(first, second)
