import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.cli.describe import COMMAND

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml")


def test_shows_every_part_with_its_arguments_and_origin(capsys):
    COMMAND.main(["parts", "selectors"])
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("BlockView (B, N, D) -> plan", "TSPS", "keep_ratio=0.5", "bus_toolkit,", "embed_dim (width of the"):
        assert text in shown
    assert "PAD" not in shown


def test_shows_plugins(capsys):
    COMMAND.main(["plugins"])
    shown = capsys.readouterr().out
    assert "bus_toolkit" in shown and "loaded" in shown


def test_shows_the_resolved_config(capsys):
    COMMAND.main(["config", DEMO, "--cfg-options", "model.decoder.type=Identity"])
    shown = capsys.readouterr().out
    assert shown.startswith("model:\n  type: bus_toolkit.VLPModel\n")
    assert "  decoder:\n    type: Identity\n" in shown


def test_a_mistake_ends_with_2_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "bus_toolkit", "describe", "config", "no_such.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no_such.yaml: no such config file.") and "Traceback" not in done.stderr


def test_an_unknown_kind_suggests_the_nearest():
    from bus_toolkit.errors import ComponentError

    with pytest.raises(ComponentError, match="Did you mean 'selectors'?"):
        COMMAND.main(["parts", "selektors"])
