"""Our parts in OpenMMLab's own configs: importing this package registers them, those of installed plugins included."""

import bus_toolkit.openmmlab.register  # noqa: F401 (registers on import, as `custom_imports` expects)
from bus_toolkit.openmmlab.conditioning import ConditionedPasses, conditioned_on

__all__ = ["ConditionedPasses", "conditioned_on"]
