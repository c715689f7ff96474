import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _describe(*words, **environ):
    import os

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **environ}
    return subprocess.run(
        [sys.executable, "tools/describe.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_shows_parts_and_plugins():
    parts = _describe("parts", "selectors")
    assert parts.returncode == 0 and "TSPS" in parts.stdout and "keep_ratio=0.5" in parts.stdout, parts.stderr
    plugins = _describe("plugins", BUS_PLUGINS="")
    assert plugins.returncode == 0 and "loaded" in plugins.stdout, plugins.stderr


@pytest.mark.slow
def test_shows_a_config_or_its_mistakes():
    good = _describe(
        "config", "registry_configs/bus/bus_scenes_tiny.yaml", "--cfg-options", "model.decoder.type=Identity"
    )
    assert good.returncode == 0 and good.stdout.startswith("model:") and good.stderr == ""
    bad = _describe("config", "no_such.yaml")
    assert (
        bad.returncode == 2 and bad.stdout == "" and bad.stderr.startswith("error: no_such.yaml: no such config file.")
    )
