"""The tables of a benchmark of vision-language models, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch

from bus_toolkit.study.markdown import escape_markdown, markdown_table
from bus_toolkit.vlm_benchmark.arms import KEEPS_ALL
from bus_toolkit.vlm_benchmark.plan import Plan
from bus_toolkit.vlm_benchmark.results import Measured, Settings, Spread

_TIMES = (
    *("arm", "visual tokens left, mean (most)", "first token, ms", "speed-up", "promised", "measured / promised"),
    *("later tokens a second", "speed-up of these", "whole answer, s", "speed-up of it", "promised of it"),
)
_COSTS = (
    *(
        "arm",
        "KV cache, MiB",
        "peak memory, MiB",
        "selection, % of the time to the first token",
        "GMAC: tower",
        "projector",
    ),
    *("language model by layer", "head", "selection", "prefill", "a later token"),
)
_AIM = 2.0
"""Per cent of a prefill that the hooks may cost: what we aim at."""


def heading(model: Any, plan: Plan, settings: Settings) -> str:
    """Return one line on what is measured and where."""
    count = sum(parameter.numel() for parameter in model.parameters())
    on_gpu = settings.device.type == "cuda"
    where = torch.cuda.get_device_name(settings.device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    dtype = str(model.dtype).removeprefix("torch.")
    return (
        f"{type(model).__name__}, {count / 1e6:.1f} M parameters, {dtype}, {plan.prompt_length} tokens of text, "
        f"{settings.new_tokens} new tokens; {where}, torch {torch.__version__}, transformers {version('transformers')}."
        f" Medians of {settings.rounds} rounds (least to largest), speed-ups within a round."
    )


def tables(measured: Sequence[Measured], settings: Settings) -> str:
    """Return the times and the costs of arms of one kind of batch, and what the hooks cost."""
    first = measured[0]
    size = f"{first.image_size[0]} x {first.image_size[1]} pixels, {first.visual_tokens} visual tokens"
    memory = (
        "of the allocator" if settings.device.type == "cuda" else "of tensors, without scratch memory of operations"
    )
    return "\n\n".join(
        (
            f"**{size}, batch {first.batch_size}**",
            markdown_table(_TIMES, [_times(one) for one in measured], aligned=True),
            markdown_table(_COSTS, [_costs(one) for one in measured], aligned=True),
            f"Peak memory is that {memory}, beyond weights and inputs. MACs are those of one prompt.",
            _hooks(next(one for one in measured if one.name == KEEPS_ALL)),
        )
    )


def _hooks(arm: Measured) -> str:
    """Say what all hooks with nothing dropped cost."""
    cost = [
        100 * (1 / ratio - 1)
        for ratio in (arm.first_speed_up.median, arm.first_speed_up.largest, arm.first_speed_up.least)
    ]
    later = 100 * (1 / arm.later_speed_up.median - 1)
    verdict = "met" if cost[0] <= _AIM else "missed"
    return (
        f"Hooks alone: {cost[0]:+.1f} % of the time to the first token ({cost[1]:+.1f} to {cost[2]:+.1f}), aim at most "
        f"{_AIM:g} %: {verdict}; {later:+.1f} % of a later token."
    )


def _times(one: Measured) -> list[str]:
    return [
        escape_markdown(one.name),
        f"{one.kept_mean:g}" if one.kept_mean == one.kept_max else f"{one.kept_mean:.1f} ({one.kept_max})",
        f"{1e3 * one.first_seconds.median:.0f}",
        _spread(one.first_speed_up),
        f"{one.promised_first:.2f}",
        f"{one.first_efficiency:.2f}",
        f"{one.later_rate.median:.1f}",
        _spread(one.later_speed_up),
        f"{one.seconds.median:.2f}",
        _spread(one.speed_up),
        f"{one.promised:.2f}",
    ]


def _costs(one: Measured) -> list[str]:
    macs, batch = one.macs, one.batch_size
    counted = (macs.rest, macs.selection, macs.prefill, macs.later_token)
    return [
        escape_markdown(one.name),
        f"{one.cache_bytes / 2**20:.2f}",
        f"{one.peak_bytes / 2**20:.1f}",
        f"{100 * one.selection_share.median:.1f}",
        _giga(macs.tower / batch),
        _giga(macs.projector / batch),
        _runs([count / batch for count in macs.layers]),
        *(_giga(count / batch) for count in counted),
    ]


def _runs(counts: Sequence[float]) -> str:
    """Return layers in short: ``20.1 x2, 6.3 x22``."""
    shown = [_giga(count) for count in counts]
    starts = [place for place, text in enumerate(shown) if place == 0 or text != shown[place - 1]]
    lengths = [end - start for start, end in zip(starts, [*starts[1:], len(shown)], strict=True)]
    return ", ".join(f"{shown[start]} x{length}" for start, length in zip(starts, lengths, strict=True))


def _giga(count: float) -> str:
    return f"{count / 1e9:.3g}"


def _spread(figures: Spread) -> str:
    return f"{figures.median:.2f} ({figures.least:.2f}-{figures.largest:.2f})"
