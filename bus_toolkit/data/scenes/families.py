"""The families of generated scenes by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.data.needles.draw import draw_scene as draw_needles
from bus_toolkit.data.needles.files import write_needles
from bus_toolkit.data.needles.plan import plan_scenes as plan_needles
from bus_toolkit.data.needles.settings import NeedleSettings
from bus_toolkit.data.scenes.coco_files import write_annotations
from bus_toolkit.data.scenes.draw import draw_scene
from bus_toolkit.data.scenes.family import SceneFamily
from bus_toolkit.data.scenes.generator_settings import GeneratorSettings
from bus_toolkit.data.scenes.plan import PlannedScene, plan_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.task_files import write_task_files
from bus_toolkit.errors import ConfigError


def _write_scenes(folder: Path, split: str, planned: list[PlannedScene], settings: SceneSettings) -> list[str]:
    names = write_annotations(folder, split, planned, settings)
    return names + write_task_files(folder, split, planned, settings)


DEFAULT_FAMILY = "scenes"
FAMILIES: dict[str, SceneFamily] = {
    DEFAULT_FAMILY: SceneFamily({"generator_version": 5}, SceneSettings, plan_scenes, _write_scenes, draw_scene),
    "needles": SceneFamily(
        {"family": "needles", "generator_version": 2},
        NeedleSettings,
        plan_needles,
        write_needles,
        draw_needles,
        mirrors=False,  # a slash becomes a backslash
        grows=False,  # objects have a size in pixels
    ),
}


def parse_settings(family: str, values: Mapping[str, Any] | None) -> GeneratorSettings:
    """Return the settings of a family from the mapping of a YAML file.

    Raises:
        ConfigError: There is no such family, or it has no such setting or value.
    """
    if family not in FAMILIES:
        raise ConfigError(f"family: must be one of {', '.join(FAMILIES)}, got {family!r}.")
    return FAMILIES[family].settings.parse(values or {})


def family_of(settings: GeneratorSettings) -> SceneFamily:
    """Return the family that these settings belong to."""
    return next(family for family in FAMILIES.values() if family.settings is type(settings))
