"""One training on this rank's part of the same global batches, with the wrappers and optimizers of a real one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from bus_toolkit.engine.parallel.fsdp2 import FSDP2
from bus_toolkit.engine.parallel.phased_ddp import PhasedDDP, PhaseHook
from bus_toolkit.engine.parallel.shard_model import shard_model
from bus_toolkit.engine.step_guard import guard_steps
from bus_toolkit.ops.collective import rank, world_size
from bus_toolkit.ops.shards import whole
from bus_toolkit.selectors import TextGuidedAttentionSelector, TextSemanticPatchSelector
from tests.equality.cases import Case
from tests.tiny import WIDTH, images
from tests.tiny_model import sample, tiny_heads, tiny_model

Wrapper = Literal["none", "ddp", "fsdp2"]
ROWS, REGION_ROWS = 8, 4
TEXTS = ("abcd", "ef", "ghijk", "lmn", "opqrst", "u", "vw", "xyz", "ba", "dcfe", "g", "hij")


class Trained(NamedTuple):
    """What a training leaves: the losses of each step, and all that its model holds, whole."""

    losses: list[dict[str, float]]
    state: dict[str, Tensor]


def trained(case: Case, wrapper: Wrapper, dtype: torch.dtype, steps: int) -> Trained:
    """Train the tiny model without dropout for some steps; all ranks call this."""
    model: Any = _model(case).to(dtype)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    optim_wrapper: Any = OptimWrapper(optimizer, accumulative_counts=case.accumulation, clip_grad={"max_norm": 1.0})
    guard_steps(optim_wrapper)
    model.set_progress(0.0, 0)
    runner: Any = SimpleNamespace(model=_wrapped(model, wrapper), optim_wrapper=optim_wrapper, hooks=[], cfg={})
    shard_model(runner)
    optim_wrapper.initialize_count_status(runner.model, 0, steps)
    losses = []
    for step in range(steps):
        model.set_progress(4 * step / steps, step)
        PhaseHook().before_train_iter(runner, step)
        logged = runner.model.train_step(_batch(case, step, dtype), optim_wrapper)
        losses.append({name: float(value.detach()) for name, value in logged.items() if name.startswith("loss")})
        model.after_step(stepped=(step + 1) % case.accumulation == 0)
    return Trained(losses, {name: whole(value.detach()).clone() for name, value in model.state_dict().items()})


def _model(case: Case) -> nn.Module:
    torch.manual_seed(1)
    heads = tiny_heads(queue_size=20 * case.momentum)
    if case.late:
        heads["mlm"].start_epoch = heads["prefix_lm"].start_epoch = 1.0
    after = TextSemanticPatchSelector(blocks=[2], embed_dim=WIDTH, text_dim=WIDTH)
    inside = TextGuidedAttentionSelector(blocks=[3], embed_dim=WIDTH, text_dim=WIDTH)  # enters its block
    momentum = {"decay": 0.9} if case.momentum else None
    without_text = "prompt" if case.mode in ("free_itc", "strict") else "cls"
    return tiny_model(case.mode, without_text, selectors=[after, inside], heads=heads, momentum=momentum)


def _wrapped(model: nn.Module, wrapper: Wrapper) -> nn.Module:
    if wrapper == "ddp":
        return PhasedDDP(model, broadcast_buffers=False)
    return FSDP2(model) if wrapper == "fsdp2" else model


def _batch(case: Case, step: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return this rank's rows of a global batch, dealt out in turn within captions and region rows."""
    count = ROWS // 2 if case.uneven and step % 5 == 4 else ROWS
    captions = [_row(step, place) for place in range(count)]
    regions = [_row(step, ROWS + place, region_only=True) for place in range(REGION_ROWS * case.regions)]
    pixels = images(ROWS + REGION_ROWS, seed=step).to(dtype)
    own = [*range(rank(), count, world_size())]
    places = own + [ROWS + place for place in range(rank(), len(regions), world_size())]
    return {
        "images": pixels[places],
        "data_samples": [captions[place] for place in own] + regions[rank() :: world_size()],
    }


def _row(step: int, place: int, **fields: Any) -> Any:
    text = TEXTS[(place + 5 * step) % len(TEXTS)]
    return sample(text, 100 * step + place, boxed=bool(fields) or place % 3 != 1, **fields)
