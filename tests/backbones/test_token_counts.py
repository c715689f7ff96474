"""How many tokens selectors leave, before anything runs, and after."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.backbones.token_counts import fewest_tokens
from bus_toolkit.errors import ComponentError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.testing import tiny_model
from bus_toolkit.testing.matrix import tower_selectors
from tests.tiny import WIDTH, images, text_tokens, tiny_backbone

SCHEDULE = {"start": 1.0, "end": 0.1, "epochs": 4}


def chosen(name: str, blocks: list[int], **settings: Any) -> PatchSelector:
    known = {"embed_dim": WIDTH, "text_dim": WIDTH}
    return REGISTRIES.selectors.build({"type": name, "blocks": blocks, **settings}, path="s", **known)


@pytest.mark.parametrize("name", tower_selectors())
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_the_count_is_what_leaves_a_real_backbone(name: str, ratio: float) -> None:
    takes = REGISTRIES.selectors.get(name).signature.arguments
    settings = {"keep_ratio": ratio} if "keep_ratio" in takes else {}
    part = chosen(name, [2] if name in ("Saliency", "GridPool", "UniformGrid") else [1, 3], **settings)
    left = tiny_backbone(part)(images(), text_tokens() if part.needs_text else None).embeds.shape[1] - 1
    assert fewest_tokens([part], (4, 4)) == left


def test_selectors_count_one_after_the_other_in_the_order_of_their_blocks() -> None:
    parts = [RandomSelector(blocks=[4], keep_ratio=0.5), chosen("ToMe", [1, 2], num_merged=3)]
    assert fewest_tokens(parts, (4, 4)) == 5  # 16, 13, 10, 5
    assert fewest_tokens([], (4, 4)) == 16


def test_the_lowest_of_a_schedule_counts_whichever_its_direction() -> None:
    falling = RandomSelector(blocks=[1], keep_ratio=SCHEDULE)
    rising = RandomSelector(blocks=[2], keep_ratio={"start": 0.25, "end": 1.0, "epochs": 4})
    assert fewest_tokens([falling], (4, 4)) == 1 and fewest_tokens([rising], (4, 4)) == 4
    assert fewest_tokens([falling, rising], (4, 4)) == 1
    late = RandomSelector(blocks=[3], keep_ratio={"start": 1.0, "end": 0.5, "epochs": 8})
    assert fewest_tokens([rising, late], (4, 4)) == 4
    assert falling.keep_ratio == 0.1, "the selector itself is as it was"


class ByValue(PatchSelector):
    """How many stay depends on what it sees."""

    def num_kept(self, view: BlockView) -> int:
        return int((view.patches.mean(dim=-1) > 0).sum(dim=1).min())

    def score(self, view: BlockView) -> Tensor:
        return view.patches.mean(dim=-1)


def test_a_number_that_only_the_image_says_is_taken_for_all() -> None:
    assert fewest_tokens([ByValue(blocks=[1]), RandomSelector(blocks=[2], keep_ratio=0.5)], (4, 4)) == 8


def model(decoder: dict[str, Any], selectors: list[dict[str, Any]]) -> Any:
    sizes = {"num_heads": 4, "num_layers": 1}
    takes = REGISTRIES.decoders.get(decoder["type"]).signature.arguments
    sizes = {key: value for key, value in sizes.items() if key in takes}
    return tiny_model({"itc": {"type": "ITCHead"}}, selectors=selectors, decoder={**sizes, **decoder})


@pytest.mark.parametrize(
    ("decoder", "selectors", "message"),
    [
        (
            {"type": "PAD", "num_queries": 8},
            [{"type": "TSPS", "blocks": [2], "keep_ratio": SCHEDULE, "fuse": "normalized"}],
            r"model.decoder.num_queries: must be between 1 and 2 \(the fewest visual tokens that reach it, with a",
        ),
        (
            {"type": "PAD", "num_queries": 6},
            [{"type": "Random", "blocks": [1], "keep_ratio": 0.5}, {"type": "ToMe", "blocks": [2, 3], "num_merged": 2}],
            "must be between 1 and 4",
        ),
        ({"type": "AveragePool", "num_queries": 25}, [], r"num_queries: must be at most 16 .*, got 25"),
        ({"type": "CAbstractor", "num_queries": 25}, [], r"num_queries: must be at most 16 .*, got 25"),
        ({"type": "TokenPacker", "region_size": 3}, [], "region_size: must divide the patch grid of 4 x 4, got 3"),
    ],
)
def test_a_decoder_that_would_run_out_of_tokens_is_refused_when_the_model_is_built(
    decoder: dict[str, Any], selectors: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ComponentError, match=message):
        model(decoder, selectors)


@pytest.mark.parametrize(
    "decoder",
    [
        {"type": "PAD", "num_queries": 2},
        {"type": "PAD", "num_queries": None},
        {"type": "PAD", "num_queries": 30, "query_init": "learned"},
        {"type": "QFormer", "num_queries": 30},
        {"type": "PerceiverResampler", "num_queries": 30},
        {"type": "AveragePool", "num_queries": 16},
    ],
)
def test_one_that_always_has_enough_is_built_and_runs_at_the_end_of_the_schedule(decoder: dict[str, Any]) -> None:
    selectors = [{"type": "TSPS", "blocks": [2], "keep_ratio": SCHEDULE, "fuse": "normalized"}]
    built = model(decoder, selectors).eval()
    for epoch in (0.0, 2.0, 4.0):
        built.backbone.set_progress(epoch)
        visual = built.decoder(built.backbone(images(), text_tokens()), text_tokens())
        assert torch.isfinite(visual.embeds).all()
