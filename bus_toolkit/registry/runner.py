"""The registries of what MMEngine's Runner builds: data sets, hooks, metrics and so on.

Under ``default_scope: mmengine`` their members are addressed as ``bus_toolkit.<Name>``.
"""

from __future__ import annotations

import mmengine.registry as mmengine
from mmengine.registry import Registry

from bus_toolkit.registry.scoped import ModelRegistry

SCOPE = "bus_toolkit"
MODELS = ModelRegistry("model", parent=mmengine.MODELS, scope=SCOPE)
DATASETS = Registry("dataset", parent=mmengine.DATASETS, scope=SCOPE)
TRANSFORMS = Registry("transform", parent=mmengine.TRANSFORMS, scope=SCOPE)
DATA_SAMPLERS = Registry("data sampler", parent=mmengine.DATA_SAMPLERS, scope=SCOPE)
METRICS = Registry("metric", parent=mmengine.METRICS, scope=SCOPE)
HOOKS = Registry("hook", parent=mmengine.HOOKS, scope=SCOPE)
LOOPS = Registry("loop", parent=mmengine.LOOPS, scope=SCOPE)
OPTIM_WRAPPERS = Registry("optim_wrapper", parent=mmengine.OPTIM_WRAPPERS, scope=SCOPE)
MODEL_WRAPPERS = Registry("model_wrapper", parent=mmengine.MODEL_WRAPPERS, scope=SCOPE)
VISUALIZERS = Registry("visualizer", parent=mmengine.VISUALIZERS, scope=SCOPE)
OPTIMIZERS = Registry("optimizer", parent=mmengine.OPTIMIZERS, scope=SCOPE)
PARAM_SCHEDULERS = Registry("parameter scheduler", parent=mmengine.PARAM_SCHEDULERS, scope=SCOPE)
RUNNER_REGISTRIES = (
    MODELS,
    DATASETS,
    TRANSFORMS,
    DATA_SAMPLERS,
    METRICS,
    HOOKS,
    LOOPS,
    OPTIM_WRAPPERS,
    MODEL_WRAPPERS,
    VISUALIZERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
)
