"""Limits of what is read from files: a small file that unfolds into a large one ends in an error, not in full memory.

Each has a default far above what its kind of data needs, and a variable of the environment that raises it: limits of a
config cannot be in the config. ``LIMITS`` lists them; tools/README.md says when to raise one. The defaults are our
choice. Pixels of an image have a limit as well, ``max_pixels`` of ``LoadImage``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from bus_toolkit.errors import ConfigError


@dataclass(frozen=True)
class Limit:
    """The most that is read of one thing.

    Attributes:
        variable: Of the environment; a whole number from 1 in it replaces the default.
        default: The limit without that variable.
        about: What it counts, for the list.
    """

    variable: str
    default: int
    about: str

    @property
    def value(self) -> int:
        """The limit at this moment.

        Raises:
            ConfigError: The variable holds something else than a whole number from 1.
        """
        text = os.environ.get(self.variable, "").strip()
        if not text:
            return self.default
        if problem := self.problem(text):
            raise ConfigError(f"{self.variable}: {problem}. Correct the variable, or unset it for {self.default}.")
        return int(text)

    @staticmethod
    def problem(text: str) -> str:
        """Return what is wrong with the value of a variable; empty if it is a limit."""
        number = text.strip()
        if number.isascii() and number.isdigit() and len(number) < 19 and int(number) > 0:
            return ""
        return f"must be a whole number from 1 below 10^18, got {text[:40]!r}"

    @property
    def advice(self) -> str:
        """What to do if so much is meant."""
        return f"If so much is meant, set {self.variable} in the environment."


YAML_BYTES = Limit("BUS_MAX_YAML_BYTES", 1 << 20, "bytes of a YAML file or of one override")
YAML_VALUES = Limit("BUS_MAX_YAML_VALUES", 20_000, "values of a YAML file, those of an alias at each of its places")
YAML_DEPTH = Limit("BUS_MAX_YAML_DEPTH", 100, "mappings and lists of a YAML file inside of each other")
CAPTION_CHARACTERS = Limit("BUS_MAX_CAPTION_CHARACTERS", 100_000, "characters of a caption")
MEMBER_BYTES = Limit("BUS_MAX_MEMBER_BYTES", 16 << 20, "bytes of a .txt or .json member of a shard")
JSON_ENTRY_CHARACTERS = Limit("BUS_MAX_JSON_ENTRY", 64 << 20, "characters of one entry of JSON that becomes a table")
SHARD_NAMES = Limit("BUS_MAX_SHARD_NAMES", 1_000_000, "shards that one brace pattern names")
TAR_HEADER_BYTES = Limit("BUS_MAX_TAR_HEADER_BYTES", 8 << 10, "bytes of one header of a tar, its name or attributes")
UPLOAD_BYTES = Limit("BUS_MAX_UPLOAD_BYTES", 20 << 20, "bytes of an image that is given to the app")
UPLOAD_PIXELS = Limit("BUS_MAX_UPLOAD_PIXELS", 50_000_000, "pixels of an image that is given to the app")
ARCHIVE_RATIO = Limit("BUS_MAX_ARCHIVE_RATIO", 20, "bytes of a checkpoint in memory, as a multiple of its file")
LIMITS = (
    *(YAML_BYTES, YAML_VALUES, YAML_DEPTH),
    *(CAPTION_CHARACTERS, MEMBER_BYTES, JSON_ENTRY_CHARACTERS, SHARD_NAMES, TAR_HEADER_BYTES, ARCHIVE_RATIO),
    *(UPLOAD_BYTES, UPLOAD_PIXELS),
)
