"""Where classes are looked up by name: our registries for the parts of a model, MMEngine's for what its Runner builds.

A plugin imports from here, e.g. ``from bus_toolkit.registry import METRICS, Registries``.
"""

from bus_toolkit.registry.kinds import CONDITIONING_MODES, REGISTRIES, Registries, new_registries
from bus_toolkit.registry.openmmlab import MMPRETRAIN
from bus_toolkit.registry.parts import PartRegistry, Registered, plain, registering
from bus_toolkit.registry.provided import ARGUMENTS, provided_to
from bus_toolkit.registry.runner import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODEL_WRAPPERS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    RUNNER_REGISTRIES,
    SCOPE,
    TRANSFORMS,
    VISUALIZERS,
)

__all__ = [
    "ARGUMENTS",
    "CONDITIONING_MODES",
    "DATASETS",
    "DATA_SAMPLERS",
    "HOOKS",
    "LOOPS",
    "METRICS",
    "MMPRETRAIN",
    "MODELS",
    "MODEL_WRAPPERS",
    "OPTIMIZERS",
    "OPTIM_WRAPPERS",
    "PARAM_SCHEDULERS",
    "PartRegistry",
    "REGISTRIES",
    "RUNNER_REGISTRIES",
    "Registered",
    "Registries",
    "SCOPE",
    "TRANSFORMS",
    "VISUALIZERS",
    "new_registries",
    "plain",
    "provided_to",
    "registering",
]
