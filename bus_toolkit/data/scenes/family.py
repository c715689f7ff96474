"""A family of generated scenes: what the cache needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.scenes.generator_settings import GeneratorSettings

Draw = Callable[[Any, Any, np.random.Generator], np.ndarray]
"""Scene, settings and random stream to a picture, uint8 (H, W, 3) in the order blue, green, red."""


@dataclass(frozen=True)
class SceneFamily:
    """How scenes of one kind are planned, written down and drawn.

    Attributes:
        identity: What the manifest of a folder says of the family. It has ``generator_version``: raise that when the
            same settings give other files, and old folders are written again.
        settings: The class of its settings.
        plan: Settings, split, number of scenes and number of processes to the planned scenes, each a tuple that starts
            with the number of its picture and its scene.
        write: Writes the annotations of a split: folder, split, planned scenes and settings to the names of the files.
        draw: Makes the picture of a scene.
        mirrors: A mirrored picture, with *left* and *right* exchanged in its texts, is as right as the picture was.
        grows: Everything in a picture grows with it.
    """

    identity: Mapping[str, Any]
    settings: type[GeneratorSettings]
    plan: Callable[[Any, str, int, int], list[Any]]
    write: Callable[[Path, str, list[Any], Any], list[str]]
    draw: Draw
    mirrors: bool = True
    grows: bool = True
