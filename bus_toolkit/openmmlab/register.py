"""Our parts in OpenMMLab's own configs: importing this module registers them, those of installed plugins included.

``custom_imports = dict(imports=['bus_toolkit.openmmlab'], allow_failed_imports=False)`` in a Python config makes
``bus_toolkit.TokenReducedViT`` a backbone and ``bus_toolkit.KeepRatioScheduleHook`` a hook, whoever runs the config.
"""

from __future__ import annotations

import bus_toolkit.engine.hooks.model_state
import bus_toolkit.engine.hooks.training_progress  # noqa: F401 (both register hooks)
from bus_toolkit.plugin.manager import load_plugins

load_plugins()
