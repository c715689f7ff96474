"""Counts by shapes alone equal those of real passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit.analysis.benchmark.workload import Workload, made_up_batch
from bus_toolkit.analysis.macs import count_macs, count_macs_by_part
from bus_toolkit.analysis.meta_macs import Frame, MacCounter, frame_of
from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.build import build_model
from tests.analysis.toy import WIDTH, toy

FUSION = {"type": "CrossAttentionFusion", "num_layers": 1, "num_heads": 4}
TINY = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"


@pytest.mark.parametrize("work", ["step", "forward"])
def test_the_demo_is_counted_as_a_real_pass_is(work: str) -> None:
    model = load_config(TINY).model
    built = build_model(model)
    load = Workload(built, "model", made_up_batch(built, 2, 10))
    counter = MacCounter(work, 10)  # type: ignore[arg-type]
    assert counter.macs(model) == count_macs(getattr(load, work)) // 2
    assert counter.tokens(model) == load.tokens_per_block() == [65, 65, 34, 34, 34, 34, 17]


def test_tokens_that_training_hides_and_evaluation_drops_are_not_counted() -> None:
    model = toy(selectors=[{"type": "DynamicViT", "blocks": [2], "keep_ratio": 0.25}])
    counter = MacCounter("forward", 8)
    assert counter.tokens(model) == [65, 17, 17, 17, 17]
    assert counter.tokens_for_decoder(model) == 16
    built = build_model(model)
    chosen = Workload(built, "vision", made_up_batch(built, 2, 8)).selections()
    assert [selection.decision.plan.num_slots for selection in chosen] == [16], "what a random twin keeps"


def test_texts_of_an_image_share_what_reads_none_of_them() -> None:
    """Text-free, everything up to the fusion is the image's; with TSPS, the blocks before it."""
    one, four = (MacCounter("forward", 8, scope="vision", texts_per_image=count) for count in (1, 4))
    evit = toy(selectors=[{"type": "EViT", "blocks": [1], "keep_ratio": 0.5}])
    assert four.macs(evit) == one.macs(evit) // 4
    model = toy()
    built = build_model(model)
    shared = count_macs(lambda: built.backbone.forward_shared(made_up_batch(built, 2, 8)[0])) // 2
    assert four.macs(model) == shared // 4 + one.macs(model) - shared
    for work in ("step", "forward"):  # with all heads, too, and what runs is what is counted
        batch = made_up_batch(built, 2, 8, texts_per_image=4)
        load = Workload(built, "model", batch)
        assert MacCounter(work, 8, texts_per_image=4).macs(model) == count_macs(getattr(load, work)) // 8


def test_several_texts_an_image_are_refused_for_several_images_a_text() -> None:
    built = build_model(toy(heads={"cls": {"type": "ClassificationHead", "num_images": 2}}, fusion=FUSION))
    with pytest.raises(ConfigError, match="--texts-per-image: must be 1 for a model that reads 2 images a text, got 4"):
        made_up_batch(built, 2, 8, texts_per_image=4)


def test_what_the_momentum_model_does_for_soft_targets_is_counted() -> None:
    """One more pass of text encoder and fusion for the hidden caption, the same for the prefix, and the decoder."""
    layers = {"num_layers": 1, "num_heads": 4}
    parts = {
        "fusion": {"type": "CrossAttentionFusion", **layers},
        "text_decoder": {"type": "BertTextDecoder", **layers},
    }
    heads = {"mlm": {"type": "MLMHead", "alpha": 0.4}, "prefix_lm": {"type": "PrefixLMHead", "alpha": 0.4}}
    model = toy(**parts, heads={**toy()["heads"], **heads}, momentum={})
    built = build_model(model)
    load = Workload(built, "model", made_up_batch(built, 2, 8))
    by_part = count_macs_by_part(load.forward, load.parts, "other")
    assert MacCounter("forward", 8).macs(model) == sum(by_part.values()) // 2
    tokens, momentum = built.encoders.tokenize([sample.text for sample in load.samples]), built.momentum
    most = math.ceil(tokens.input_ids.shape[1] * built.heads["prefix_lm"].max_prefix)
    prefixes = tokens.up_to(most)
    visual, text = momentum.encode_visual(load.images, None), built.encoders.encode_text(tokens)
    prefix = built.encoders.encode_text(prefixes)
    memory = momentum.fuse(prefix, visual).memory()
    images = count_macs(lambda: momentum.encode_visual(load.images, None))
    texts = 2 * count_macs(lambda: momentum.encode_text(tokens))  # captions and hidden captions
    texts += count_macs(lambda: momentum.encode_text(prefixes))
    fusions = sum(count_macs(lambda given=given: momentum.fuse(given, visual)) for given in (text, prefix))
    decoded = count_macs(lambda: momentum.decode(tokens.before_last(), *memory))
    assert by_part["momentum"] == images + texts + fusions + decoded


def test_a_part_that_asks_for_numbers_is_counted_on_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    counter = MacCounter("forward", 8)
    with caplog.at_level("WARNING", "bus_toolkit"):
        assert counter._run(toy(), lambda load: load.images.isfinite().all().item()) is True
    assert "Cannot count by shapes alone" in caplog.text
    assert counter.tokens(toy()) == MacCounter("forward", 8).tokens(toy())


def test_autocast_is_left_as_it_was() -> None:
    before = torch.autocast
    MacCounter("forward", 8).macs(toy())
    assert torch.autocast is before


def test_the_frame_is_what_the_model_takes_in() -> None:
    frame = frame_of(toy(img_size=48))
    assert frame == Frame(image_size=(48, 48), grid=(6, 6), max_length=8) and frame.num_patches == 36


def test_patches_that_do_not_tile_the_image_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"patches 8 pixels apart do not tile an image of \(50, 50\) pixels"):
        frame_of(toy(img_size=50))


def test_an_answer_costs_a_pair_and_what_the_answering_heads_predict() -> None:
    heads = {"itm": {"type": "ITMHead"}, "ptm": {"type": "PatchTextHead"}}
    scopes: tuple[Any, ...] = ("pair", "answer")
    pair, answer = (MacCounter("forward", 8, scope=scope, device="cpu") for scope in scopes)
    bare = toy(heads=heads, fusion=FUSION)
    assert answer.macs(bare) == pair.macs(bare), "neither head answers"
    asked = toy(heads={**heads, "answer": {"type": "ClassificationHead", "num_classes": 8}}, fusion=FUSION)
    assert answer.macs(asked) == pair.macs(bare) + WIDTH * WIDTH + 8 * WIDTH
    writer = {"type": "BertTextDecoder", "num_layers": 1, "num_heads": 4}
    writing = toy(heads={"vqa": {"type": "VQAHead"}}, fusion=FUSION, text_decoder=writer)
    assert answer.macs(writing) > pair.macs(bare), "a head that writes its answers, without a list of them"
    # Of two texts an image each has half of what they share: with EViT all of the vision, and the fusion's keys and
    # values of the 32 tokens that it keeps, the fused one and the class token.
    two = MacCounter("forward", 8, scope="answer", texts_per_image=2, device="cpu")
    evit = {**asked, "selectors": [{"type": "EViT", "blocks": [1], "keep_ratio": 0.5}]}
    vision = MacCounter("forward", 8, scope="vision", device="cpu").macs(evit)
    assert 2 * (answer.macs(evit) - two.macs(evit)) == pytest.approx(vision + 34 * 2 * WIDTH**2, abs=4)
