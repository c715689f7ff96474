"""The Python way to ask a model: encode, similarity, match, samples; and what is wrong is named."""

from __future__ import annotations

import logging

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.errors import BusError, ComponentError, ConfigError, DataError
from bus_toolkit.heads import ITCHead, ITMHead
from bus_toolkit.models import VLPModel, make_samples
from bus_toolkit.step import Parts
from tests.tiny import WIDTH, images, tiny_vit
from tests.tiny_model import samples, tiny_heads, tiny_model

TEXTS = ["ab", "cd"]


@pytest.fixture(scope="module")
def model():
    return tiny_model("strict", "none").eval().requires_grad_(False)


def same(one, two) -> bool:
    return torch.equal(one.embeds, two.embeds)


def test_one_text_goes_with_all_images_and_one_image_with_all_texts(model):
    assert same(model.encode(images(2), "ab"), model.encode(images(2), ["ab", "ab"]))
    one = model.encode(images(1), TEXTS)
    torch.testing.assert_close(one.embeds, model.encode(images(1).expand(2, -1, -1, -1), TEXTS).embeds)
    assert one.embeds.shape[0] == 2 and not torch.equal(one.embeds[0], one.embeds[1])


def test_a_pass_without_text_is_what_the_plain_call_gives(model):
    assert same(model.encode(images(2)), model(images(2)))


def test_similarity_is_the_cosine_of_the_features_of_retrieval(model):
    found = model.similarity(images(3), TEXTS)
    head = model.heads["itc"]
    text = model.encoders.encode_text(model.encoders.tokenize(TEXTS))
    assert torch.equal(found, head.image_feats(model.encode(images(3))) @ head.text_feats(text).T)
    assert found.shape == (3, 2) and found.abs().max() <= 1 + 1e-6


def test_match_is_the_probability_under_the_own_text(model):
    text = model.encoders.encode_text(model.encoders.tokenize(TEXTS))
    fused = model.encoders.fuse(text, model.encode(images(2), TEXTS), first_only=True)
    assert torch.equal(model.match(images(2), TEXTS), model.heads["itm"].match_logits(fused).sigmoid())
    assert model.match(images(1), TEXTS).shape == (2,)


WRONG = [
    ((images(2), []), "texts: needs at least one, got none"),
    ((images(2), ["ab", "cd", "ef"]), "must be equally many, or one image, or one text, got 2 and 3. Repeat"),
    ((images(2), ["ab", ""]), r"texts\[1\]: must be a string with at least one word, got ''"),
    ((images(2), ["ab", "\u200b"]), r"texts\[1\]: must be a string with at least one word"),
    ((images(2), ["ab", 3]), r"texts\[1\]: must be a string with at least one word, got 3"),
    ((images(2)[:, :1], TEXTS), "images: VisionTransformer takes 3 channels, got 1"),
    ((images(2) / 0, TEXTS), "images: image 0 holds values that are no finite numbers"),
]


@pytest.mark.parametrize(("asked", "message"), WRONG)
@pytest.mark.parametrize("method", ["encode", "match"])
def test_what_is_wrong_is_named(model, method, asked, message):
    with pytest.raises(DataError, match=message):
        getattr(model, method)(*asked)


def test_texts_that_nothing_reads_are_refused():
    blind = tiny_model(selectors=[]).eval()
    with pytest.raises(ComponentError, match="no selector and no decoder of this model reads a text, got texts"):
        blind.encode(images(2), TEXTS)
    assert blind.match(images(2), TEXTS).shape == (2,)


def test_a_missing_head_is_named():
    without = tiny_model(heads={"itm": ITMHead(text_dim=WIDTH)}).eval()
    with pytest.raises(ComponentError, match="VLPModel.similarity needs an ITCHead, got itm"):
        without.similarity(images(2), TEXTS)


def test_samples_hold_texts_and_fields():
    made = make_samples(TEXTS, image_id=[4, 5])
    assert [(sample.text, sample.image_id) for sample in made] == [("ab", 4), ("cd", 5)]
    with pytest.raises(DataError, match="image_id: needs one value a text, 2, got 1"):
        make_samples(TEXTS, image_id=[4])
    with pytest.raises(DataError, match="texts: must be a list of one text an image, got the text 'ab'"):
        make_samples("ab")


def test_two_steps_at_one_iteration_are_reported_once(caplog):
    moving = tiny_model()
    with caplog.at_level(logging.WARNING):
        for iteration in range(3):
            moving.set_progress(0.0, iteration)
            moving.loss(images(4), samples())
            moving.after_step()
        assert not caplog.records
        for _ in range(3):
            moving.after_step()
    assert [record.getMessage()[:42] for record in caplog.records] == ["VLPModel: two steps at iteration 2. Hidden"]


@pytest.mark.parametrize(
    ("changed", "heads", "message"),
    [
        (
            {"backbone": tiny_vit()},
            {},
            "Parts.backbone: must be a TokenReducingBackbone, got VisionTransformer",
        ),
        ({"fusion": None}, {}, "model.heads.itm: ITMHead reads fused tokens, but there is no model.fusion"),
        (
            {"text_decoder": None},
            {},
            "model.heads.prefix_lm: PrefixLMHead writes text, but there is no",
        ),
        ({}, {"mine": torch.nn.Identity()}, "model.heads.mine: must be a bus_toolkit.heads.VLPHead, got Identity"),
    ],
)
def test_parts_that_cannot_work_together_are_refused_when_the_model_is_made(model, changed, heads, message):
    names = ("tokenizer", "text_encoder", "backbone", "decoder", "fusion", "text_decoder")
    parts = Parts(**{name: getattr(model, name) for name in names} | changed)
    with pytest.raises(ConfigError, match=message):
        VLPModel(parts, {**tiny_heads(), **heads})


def test_a_name_in_place_of_a_config_is_answered():
    with pytest.raises(ConfigError, match=r"must get a loaded config, got 'bus/bus_scenes_tiny'. Write .*load_config"):
        build_model("bus/bus_scenes_tiny")
    with pytest.raises(ConfigError, match="build_model: the config has no model with a type"):
        build_model({})


def test_a_normalisation_at_the_top_of_a_config_becomes_the_models():
    config = load_config("bus/bus_scenes_tiny").to_dict()
    config["data_preprocessor"] = config["model"].pop("data_preprocessor")
    assert build_model(config).data_preprocessor.mean.flatten().tolist() == [127.5] * 3


def test_all_errors_have_one_base():
    assert issubclass(DataError, BusError) and issubclass(ComponentError, BusError)
    assert ITCHead.sees is not None


@pytest.mark.parametrize("texts", [3, None])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(DataError, match="^texts: must be a text or a list of texts, got (int|NoneType)."):
        make_samples(texts)


@pytest.mark.parametrize("path", [None, {"model": {}}])
def test_what_names_no_config_is_refused(path):
    with pytest.raises(ConfigError, match="^config: must be the path or the name of a YAML file, got (NoneType|dict)."):
        load_config(path)
