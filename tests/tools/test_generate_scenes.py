import importlib.util
import json
from pathlib import Path

import pytest

from bus_toolkit.errors import ConfigError

TOOL = Path(__file__).parents[2] / "tools" / "generate_scenes.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("generate_scenes", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_writes_the_splits_that_are_asked_for(tool, tmp_path, capsys):
    tool.main(
        [str(tmp_path), "--train", "3", "--val", "2", "--test", "0", "--scenes", '{"noise": 0}', "--workers", "1"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train_3", "val_2"]
    assert json.loads((tmp_path / "train_3" / "manifest.json").read_text())["settings"]["noise"] == 0
    assert "3 scenes" in capsys.readouterr().out


def test_refuses_unknown_settings(tool, tmp_path):
    with pytest.raises(ConfigError, match="no setting named 'sise'"):
        tool.main([str(tmp_path), "--scenes", '{"sise": 64}'])
