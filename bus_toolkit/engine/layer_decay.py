"""Learning rates that fall with the depth of a layer, by mmpretrain's constructor. Importing this registers ours."""

from __future__ import annotations

from typing import Any

from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

NAME = "SharedLearningRateDecayOptimWrapperConstructor"


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name=NAME)
class SharedLearningRateDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer-wise decay for models in which two modules share a weight; the Runner puts it in its place.

    Theirs lists such a weight twice, which every optimizer refuses; with ``paramwise_cfg.bypass_duplicate: true``, as
    in MMEngine's own constructor, the first one counts. The depths come from ``model.get_layer_depth``.
    """

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **kwargs: Any) -> None:
        """Add the groups of ``module`` to ``params``."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix == "" and self.paramwise_cfg.get("bypass_duplicate"):
            first = {id(group["params"][0]): group for group in reversed(params)}
            params[:] = [group for group in params if first[id(group["params"][0])] is group]
