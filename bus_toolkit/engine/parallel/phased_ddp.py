"""DDP that looks for parameters without a gradient only as long as there may be other ones in the next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from bus_toolkit.engine.batches import wrappers_of
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import MODEL_WRAPPERS

# What DDP says when a step does not use the parameters that it counts on.
_CHANGED = ("static_graph", "finished reduction in the prior iteration")


@MODEL_WRAPPERS.register_module()
class PhasedDDP(MMDistributedDataParallel):
    """MMEngine's DDP in two phases; goes into ``model_wrapper_cfg``, and is the wrapper where none is given.

    While the set of trained parameters may change (:func:`is_changing`), DDP walks through the graph of each step to
    find those without a gradient. From then on it takes the graph for the same in each step (torch's ``static_graph``):
    what has no gradient in the first of them never has one, and nothing is searched. Gradients are the same.

    Args:
        module: The bare model.
        is_static: The phase.
        **settings: Arguments of torch's ``DistributedDataParallel`` but ``find_unused_parameters`` and
            ``static_graph``; who wants to set these takes ``MMDistributedDataParallel``.
    """

    def __init__(self, module: nn.Module, *, is_static: bool = False, **settings: Any) -> None:
        super().__init__(module, find_unused_parameters=not is_static, static_graph=is_static, **settings)
        self.is_static = is_static
        self._settings: Mapping[str, Any] = settings

    def in_other_phase(self) -> PhasedDDP:
        """Return a wrapper of the same model in the other phase; this one is of no use afterwards."""
        self._remove_autograd_hooks()  # they would go on for as long as anything refers to this object
        return PhasedDDP(self.module, is_static=not self.is_static, **self._settings)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Any]:
        """Take MMEngine's training step.

        Raises:
            ConfigError: The parameters with a gradient are not those of the steps before.
        """
        try:
            return super().train_step(data, optim_wrapper)
        except RuntimeError as error:
            if not self.is_static or not any(text in str(error) for text in _CHANGED):
                raise
            raise ConfigError(
                "find_unused_parameters: the parameters that get a gradient have changed from one step to the next, "
                "though no head waits for its start_epoch and no keep ratio is scheduled: a part or a data set decides "
                f"it. Set find_unused_parameters: true. ({str(error).splitlines()[0][:300]})"
            ) from error


class PhaseHook(Hook):
    """Change the phase of a ``PhasedDDP`` before the first step of another one, on all ranks; in every run.

    A fixed graph begins with a batch whose gradients are averaged: with one that only accumulates, torch 2.14 fails
    (pytorch/pytorch#187732).
    """

    priority = "NORMAL"  # after the progress of the model is set

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at the model; it costs a look at its heads and selectors."""
        model: Any = runner.model
        if not isinstance(model, PhasedDDP) or model.is_static != is_changing(model.module):
            return
        if model.is_static or all(wrapper.should_sync() for wrapper in wrappers_of(runner.optim_wrapper)):
            runner.model = model.in_other_phase()


def is_changing(model: nn.Module) -> bool:
    """Return whether other parameters may get a gradient in a later step than in this one.

    So it is while a head waits for its ``start_epoch`` or a keep ratio is scheduled (at 1 nothing is selected), and
    with any model of somebody else, of which nothing is known.
    """
    if not isinstance(model, VLPModel):
        return True
    waits = any(head.start_epoch > model.epoch for head in model.heads.values())
    return waits or any(selector.schedule.epochs > model.epoch for selector in model.backbone.selectors)
