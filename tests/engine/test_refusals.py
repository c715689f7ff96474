"""Values that a hook, an optimizer or a schedule refuses only when it is built, and disks that are full."""

import errno
import shutil
import tempfile
from collections import namedtuple

import pytest

from bus_toolkit.engine.refusals import full_disk_reported, refusals_at
from bus_toolkit.errors import ConfigError, DataError, TrainingError

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("error", [ValueError("rule must be given"), AssertionError("rule must be given")])
def test_a_refusal_gets_the_path_of_the_node(error):
    with pytest.raises(ConfigError, match=r"^custom_hooks.0: refuses its values: rule must be given. Correct them.$"):
        with refusals_at("custom_hooks.0"):
            raise error


@pytest.mark.parametrize("error", [KeyError("name"), TypeError("call"), DataError("data: gone.")])
def test_mistakes_in_the_code_and_errors_of_the_toolkit_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, refusals_at("custom_hooks.0"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("full", ["work", tempfile.gettempdir(), "/dev/shm", None])
def test_the_disk_that_is_full_is_named(monkeypatch, full):
    """Workers of a loader need shared memory and temporary files, whose errors name no place."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(9, 9, 0 if folder == full else 1 << 40))
    with pytest.raises(TrainingError, match=f"^{full or 'work'}: cannot be written any more: No space left on dev"):
        with full_disk_reported("work"):
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="another"), full_disk_reported("work"):
        raise OSError(errno.ENXIO, "another")
