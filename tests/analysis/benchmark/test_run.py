"""A benchmark of tiny models: what it counts is checked, what it times only for being there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.analysis.benchmark.groups import make_groups
from bus_toolkit.analysis.benchmark.results import Measured, Settings, short_tokens
from bus_toolkit.analysis.benchmark.run import measure_groups
from bus_toolkit.analysis.macs import block_macs

ROOT = Path(__file__).parents[3]
TINY = ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
WIDTH, BATCH = 128, 2


def measured(scope: str, *overrides: str) -> list[Measured]:
    groups = make_groups([TINY], overrides)
    settings = Settings(scope=scope, batch_size=BATCH, text_length=12, rounds=1, baselines="random")  # type: ignore[arg-type]
    return list(measure_groups(groups, settings))


def test_the_vision_side_is_counted_as_the_closed_form_says() -> None:
    baseline, bus, random = measured("vision", "model.selectors.0.type=TRIPS", "model.decoder.type=Identity")
    patches = 64 * WIDTH * 3 * 8 * 8
    assert baseline.macs["backbone"] == BATCH * (patches + 6 * block_macs(65, WIDTH))
    assert baseline.macs["selection"] == 0 and sum(baseline.macs.values()) == baseline.macs["backbone"]
    kept = bus.tokens[-1]
    inside = 4 * 65 * WIDTH**2 + 2 * 65**2 * WIDTH + 8 * kept * WIDTH**2
    fused = 64 * WIDTH
    blocks = 2 * block_macs(65, WIDTH) + inside + 3 * block_macs(kept, WIDTH)
    assert bus.tokens == [65, 65, kept, kept, kept, kept, kept]
    assert bus.macs["backbone"] == BATCH * (patches + blocks + fused)
    assert bus.macs["selection"] == BATCH * (WIDTH**2 + 64 * WIDTH)  # the text's query, and its products with all
    assert random.tokens == bus.tokens and random.macs["backbone"] == bus.macs["backbone"]


def test_a_look_ahead_is_counted_as_selection() -> None:
    _, elip, _ = measured("vision", "model.selectors.0.type=ELIP", "model.decoder.type=Identity")
    # Two blocks ahead: one whole, and of the last one the keys of all and one query.
    assert elip.macs["selection"] > BATCH * (block_macs(65, WIDTH) + 65 * WIDTH**2)


@pytest.mark.slow
def test_the_whole_model_is_counted_by_part() -> None:
    baseline, bus, random = measured("model")
    assert {"backbone", "selection", "decoder", "text encoder", "fusion", "text decoder", "heads"} <= set(bus.macs)
    assert all(bus.macs[part] > 0 for part in ("backbone", "selection", "decoder", "fusion", "text decoder", "heads"))
    for one in (baseline, bus, random):
        total = sum(one.macs.values())
        assert 2 * total < one.step_macs <= 3 * total + 1e6
        assert one.peak_bytes > 0 and one.step_seconds > 0 and one.forward_seconds > 0
        assert one.promised_step == pytest.approx(baseline.step_macs / one.step_macs)
    assert (baseline.promised_step, baseline.step_speed_up, baseline.memory_ratio, baseline.selection_share) == (
        1.0,
        1.0,
        1.0,
        0.0,
    )
    assert random.peak_bytes < baseline.peak_bytes
    assert bus.parameters > baseline.parameters


def test_a_pair_is_text_image_and_fusion_without_heads() -> None:
    groups = make_groups([TINY])
    settings = Settings(scope="pair", batch_size=BATCH, text_length=12, rounds=2, baselines="none")
    baseline, bus = measure_groups(groups, settings)
    assert all(bus.macs[part] > 0 for part in ("text encoder", "backbone", "selection", "decoder", "fusion"))
    assert bus.macs["heads"] == bus.macs["text decoder"] == 0 and bus.promised_forward > 1
    assert bus.macs["text encoder"] == baseline.macs["text encoder"] == BATCH * 2 * block_macs(12, WIDTH)
    for least, median, most in (
        (bus.forward_range[0], bus.forward_speed_up, bus.forward_range[1]),
        (bus.step_range[0], bus.step_speed_up, bus.step_range[1]),
    ):
        assert least <= median <= most


def test_tokens_are_shown_in_short() -> None:
    assert short_tokens([577, 577, 290, 290, 65]) == "577 x2, 290 x2 > 65"
    assert short_tokens([65, 65, 34, 34]) == "65 x2, 34"
