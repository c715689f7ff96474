"""The kit finds parts that a GPU would stop or refuse, and lets through those that it would not."""

import pytest
import torch
from torch import nn

from bus_toolkit.heads import VLPHead
from bus_toolkit.heads.base import HeadOutput
from bus_toolkit.selectors import PatchSelector
from bus_toolkit.structures import Condition
from bus_toolkit.testing.heads import HeadCase, check_step_on_gpu
from bus_toolkit.testing.on_gpu import check_on_gpu
from bus_toolkit.testing.selector_case import SelectorCase


class Reading(PatchSelector):
    """Scores that look at a number."""

    def score(self, view):
        scores = view.patches.norm(dim=-1)
        return scores if scores.max() > 0 else -scores


class Elsewhere(PatchSelector):
    """Scores with a tensor that stays on the CPU."""

    def __init__(self, *, embed_dim, blocks, keep_ratio):
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        self.weights = torch.ones(embed_dim)

    def score(self, view):
        return view.patches @ self.weights


class Mixed(PatchSelector):
    """Scores that forget autocast."""

    def __init__(self, *, embed_dim, blocks, keep_ratio):
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        self.project = nn.Linear(embed_dim, embed_dim)

    def score(self, view):
        hidden = self.project(view.patches)
        with torch.autocast("cuda", enabled=False):
            return (hidden @ torch.ones(hidden.shape[-1], 1, device=hidden.device)).squeeze(-1)


class Masking(VLPHead):
    """A loss of some rows, chosen by a mask."""

    sees = Condition.FREE

    def loss(self, step):
        cls = step.visual().cls
        return HeadOutput({"masking": cls[cls[:, 0] > 0].sum() + cls.sum()})


class AllowedToRead(Masking):
    """One that says so."""

    waits_for_device = True


@pytest.mark.parametrize(
    ("selector", "error", "message"),
    [
        (Reading, AssertionError, "float32: training waits for the GPU: it reads a number of the device .*in score"),
        (Elsewhere, RuntimeError, "device"),
        (Mixed, RuntimeError, "types are mixed: bfloat16 and float32"),
    ],
)
def test_faults_of_a_selector_are_named(selector, error, message):
    with pytest.raises(error, match=message):
        check_on_gpu(SelectorCase(selector, {}))


@pytest.mark.slow
def test_a_head_that_waits_is_named_unless_it_says_so():
    message = "float32: a training step waits for the GPU: it .*a boolean mask as an index.*test_on_gpu.py.*in loss"
    with pytest.raises(AssertionError, match=message):
        check_step_on_gpu(HeadCase(Masking, {}))
    check_step_on_gpu(HeadCase(AllowedToRead, {}))
