"""What a user may get wrong with a selector in their own ViT is named before anything is computed."""

from __future__ import annotations

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.errors import BusError, ConfigError, DataError
from bus_toolkit.selectors import RandomSelector, TextSemanticPatchSelector
from bus_toolkit.structures import TextTokens

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


def backbone(*selectors):
    return TokenReducingBackbone(ViTModel(ViTConfig(**SIZES)), selectors).eval()


def images(*shape: int, **settings) -> torch.Tensor:
    return torch.rand(*(shape or (2, 3, 32, 32)), **settings)


def nan_images() -> torch.Tensor:
    values = images()
    values[1, 0, 3, 3] = float("nan")
    return values


WRONG = [
    (
        lambda: images(2, 4, 32, 32),
        r"takes 3 channels, got 4, a tensor \(2, 4, 32, 32\). Channels come before",
    ),
    (lambda: images(2, 32, 32, 3), r"takes 3 channels, got 32"),
    (lambda: images(3, 32, 32), r"must be a float tensor \(B, 3, H, W\), .*, got Tensor float32 \(3, 32, 32\)"),
    (lambda: (images() * 255).byte(), r"got Tensor uint8 \(2, 3, 32, 32\). .*ImagePreprocessor makes it from"),
    (lambda: images().numpy(), r"got ndarray float32 \(2, 3, 32, 32\)"),
    (lambda: [images()], "got list. "),
    (lambda: images(0, 3, 32, 32), r"needs at least one, got a tensor \(0, 3, 32, 32\)"),
    (lambda: images(2, 3, 30, 32), "patches of 8 x 8 pixels do not tile 30 x 32 pixels. Resize to 32 x 32"),
    (lambda: images().double(), r"the weights are float32, got float64 images. Write images.to\(torch.float32\)"),
    (nan_images, r"image 1 holds values that are no finite numbers \(1 such images\)"),
]


@pytest.mark.parametrize(("made", "message"), WRONG)
def test_wrong_images_are_named(made, message):
    with pytest.raises(DataError, match=f"^images: .*{message}"):
        backbone(RandomSelector(blocks=[1]))(made())


def test_a_transformer_that_takes_one_size_says_which():
    timm = pytest.importorskip("timm")
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=1)
    with pytest.raises(
        DataError, match=r"VisionTransformer was built for 32 x 32 pixels, got 48 x 48, and refuses it: .*48"
    ):
        TokenReducingBackbone(vit).eval()(images(1, 3, 48, 48))


def test_another_size_works_where_the_transformer_interpolates():
    visual = backbone(RandomSelector(blocks=[1], keep_ratio=0.5))(images(1, 3, 48, 32))
    assert visual.grid == (6, 4) and visual.kept.counts.tolist() == [12]


def text_aware(**settings):
    return TextSemanticPatchSelector(blocks=[1], embed_dim=16, text_dim=12, **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (["a", "b"], "text: must be TextTokens, got list. A backbone encodes no words: write TextTokens.of"),
        (torch.rand(2, 5, 12), r"text: must be TextTokens, got Tensor float32 \(2, 5, 12\)"),
        (TextTokens.of(torch.rand(3, 5, 12)), "text: needs one row an image, 2, got 3"),
        (
            TextTokens.of(torch.rand(2, 5, 16)),
            "TextSemanticPatchSelector reads texts of width 12, got 16. Build it with",
        ),
    ],
)
def test_wrong_texts_are_named(text, message):
    with pytest.raises(BusError, match=f"^(text: )?{message}"):
        backbone(text_aware())(images(), text)


def test_own_embeddings_select_and_one_vector_a_text_is_enough():
    reduced = backbone(text_aware(keep_ratio=0.25))
    one, two = (reduced(images(), TextTokens.of(torch.rand(2, 12))) for _ in range(2))
    assert one.embeds.shape == (2, 6, 16) and one.kept.counts.tolist() == [4, 4]
    assert not torch.equal(one.selections[0].decision.scores, two.selections[0].decision.scores)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"embeds": torch.zeros(2, 3, 4, 5)},
            r"embeds must be floats .* got Tensor float32 \(2, 3, 4, 5\)",
        ),
        ({"embeds": torch.zeros(2, 3, dtype=torch.long)}, "got Tensor int64"),
        ({"embeds": torch.zeros(2, 3, 4), "attention_mask": torch.ones(2, 4)}, r"got \(2, 4\) and \(2, 4\)"),
        ({"embeds": torch.zeros(2, 3, 4), "attention_mask": torch.zeros(2, 3)}, "needs a token that may be read"),
    ],
)
def test_embeddings_of_other_forms_are_refused(values, message):
    with pytest.raises(DataError, match=f"^text: .*{message}"):
        TextTokens.of(**values)


def test_a_selector_of_another_width_is_refused_when_it_is_put_in():
    selector = TextSemanticPatchSelector(blocks=[1], embed_dim=32, text_dim=12)
    with pytest.raises(ConfigError, match="was built for patches of width 32, got ViTModel, whose tokens have 16"):
        backbone(selector)


def test_a_classifier_around_a_known_transformer_is_named():
    with pytest.raises(BusError, match="no adapter knows the inside of transformers's classes but ViTModel"):
        TokenReducingBackbone(ViTForImageClassification(ViTConfig(**SIZES)))


def test_results_print_as_shapes():
    visual = backbone(text_aware(keep_ratio=0.25, fuse="none"))(images(), TextTokens.of(torch.rand(2, 12)))
    shown = "embeds=(2, 5, 16), num_prefix=1, grid=(4, 4), selections at blocks [1], 4 of 16 patches kept"
    assert repr(visual) == f"VisualTokens({shown})"
    assert repr(visual.selections[0]) == "Selection(block 1: 16 tokens to 4)"
    assert repr(TextTokens.of(torch.rand(2, 12))) == (
        "TextTokens(embeds=(2, 1, 12), pooled=(2, 12), attention_mask=bool (2, 1))"
    )
    assert "keep_indices=int64 (2, 4)" in repr(visual.selections[0].decision)
    assert max(len(repr(value)) for value in (visual, visual.kept, backbone().forward_shared(images()))) < 200


def test_anything_but_a_list_of_built_selectors_is_refused():
    vit = ViTModel(ViTConfig(**SIZES))
    with pytest.raises(ConfigError, match=r"^model.selectors: must be a list of selectors, got RandomSelector. Put it"):
        TokenReducingBackbone(vit, RandomSelector(blocks=[1]))
    with pytest.raises(ConfigError, match=r"^model.selectors.0: must be a built selector, got dict. Make one of"):
        TokenReducingBackbone(vit, [{"type": "Random", "blocks": [1]}])


def test_embeddings_of_texts_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match=r"embeds must be floats \(B, L, D\) or \(B, D\), got list"):
        TextTokens.of([[1.0]])
    embeds = torch.rand(2, 3, 8)
    embeds[1, 2] = float("nan")
    made = backbone(TextSemanticPatchSelector(blocks=[1], embed_dim=16, text_dim=8))
    made(images(), TextTokens.of(embeds, torch.tensor([[1, 1, 1], [1, 1, 0]])))  # padding may hold anything
    with pytest.raises(DataError, match=r"^text: row 1 holds values that are no finite numbers \(1 such rows\)"):
        made(images(), TextTokens.of(embeds))


def test_embeddings_of_another_dtype_than_the_selector_are_refused():
    made = backbone(TextSemanticPatchSelector(blocks=[1], embed_dim=16, text_dim=8))
    message = (
        r"^text: the weights of TextSemanticPatchSelector are float32, got float64 embeds. Write embeds.to\(torch.f"
    )
    with pytest.raises(DataError, match=message):
        made(images(), TextTokens.of(torch.rand(2, 3, 8, dtype=torch.float64)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made(images(), TextTokens.of(torch.rand(2, 3, 8, dtype=torch.bfloat16)))


def test_one_block_in_place_of_a_list_is_refused():
    with pytest.raises(ValueError, match=r"^blocks: must be a list of block numbers, got 3. Write blocks=\[3\]."):
        RandomSelector(blocks=3)
