"""Settings and results of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

import torch

from bus_toolkit.analysis.benchmark.workload import Scope


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        scope: ``model``, ``pair`` or ``vision`` (see ``Workload``).
        batch_size: Images.
        texts_per_image: Texts of each.
        text_length: Tokens of a caption.
        rounds: Timed rounds; medians are reported.
        device: Where.
        dtype: ``float32``, or ``bfloat16`` for autocast.
        optimizer: Whether AdamW's step belongs to a training step of scope ``model``.
        baselines: What is measured beside each selector: ``random``, a selection of as many tokens at the same places;
            ``all``, also an even pattern, pooling and a smaller image at its MACs of a step; or ``none``.
    """

    scope: Scope = "model"
    batch_size: int = 4
    texts_per_image: int = 1
    text_length: int = 30
    rounds: int = 5
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: str = "float32"
    optimizer: bool = False
    baselines: Literal["all", "random", "none"] = "all"

    @property
    def samples(self) -> int:
        """Texts of a batch, each with its image."""
        return self.batch_size * self.texts_per_image

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the region that forward passes run in."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.dtype))

    def describe(self) -> str:
        """Return one line on what was measured and on which device."""
        on_gpu = self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
        step = "forward and backward" + (" and AdamW" if self.optimizer else "")
        texts = f" images of {self.texts_per_image} texts" if self.texts_per_image > 1 else ""
        return (
            f"scope {self.scope}, batch {self.batch_size}{texts}, {self.text_length} text tokens, {self.dtype}, "
            f"{device}, torch {torch.__version__}; a step is {step}; medians of {self.rounds} rounds"
        )


@dataclass
class Measured:
    """The results of one model; seconds are medians, ratios are medians over rounds.

    Attributes:
        name: The config's.
        baseline: Name of the unpruned baseline that it is compared with.
        parameters: Trained ones.
        tokens: Visual tokens after each block and, last, after the decoder.
        macs: Of a forward pass, by part; ``selection`` holds look-ahead passes too.
        step_macs: Of a training step, forward and backward.
        forward_seconds: A forward pass without gradient.
        step_seconds: A training step.
        selection_seconds: Planning and applying selections, in one forward pass.
        backbone_seconds: The backbone, in the same pass, selections included.
        peak_bytes: Most memory that a training step held beyond parameters and gradients.
        forward_speed_up: Of the forward pass, against the baseline.
        step_speed_up: Of the training step.
        forward_range: The least and the largest ratio of a round.
        step_range: The same for the training step.
        promised_forward: The baseline's MACs over this model's, forward.
        promised_step: The same for the training step.
        memory_ratio: ``peak_bytes`` over the baseline's.
    """

    name: str
    baseline: str
    parameters: int
    tokens: list[int]
    macs: dict[str, int]
    step_macs: int
    peak_bytes: int
    forward_seconds: float = 0.0
    step_seconds: float = 0.0
    selection_seconds: float = 0.0
    backbone_seconds: float = 0.0
    forward_speed_up: float = 1.0
    step_speed_up: float = 1.0
    forward_range: tuple[float, float] = (1.0, 1.0)
    step_range: tuple[float, float] = (1.0, 1.0)
    promised_forward: float = 1.0
    promised_step: float = 1.0
    memory_ratio: float = 1.0

    @property
    def efficiency(self) -> float:
        """How much of the promised speed-up of a training step arrived; 1 is all of it."""
        return self.step_speed_up / self.promised_step

    @property
    def selection_share(self) -> float:
        """Selection's share of the backbone's forward time."""
        return self.selection_seconds / self.backbone_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, derived figures too."""
        return {**asdict(self), "efficiency": self.efficiency, "selection_share": self.selection_share}


def per_sample(texts_per_image: int) -> str:
    """Return for what a cost is given: an image with its text, or a text of several that share their image."""
    return "an image" if texts_per_image == 1 else f"a text, {texts_per_image} an image"


def short_tokens(tokens: Sequence[int]) -> str:
    """Return tokens per block in short: ``577 x5, 290 x7 > 65`` (after the decoder)."""
    runs = [(count, len(list(same))) for count, same in groupby(tokens[:-1])]
    blocks = ", ".join(f"{count} x{times}" if times > 1 else str(count) for count, times in runs)
    return blocks if tokens[-1] == tokens[-2] else f"{blocks} > {tokens[-1]}"
