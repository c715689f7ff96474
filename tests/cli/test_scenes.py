import json

import pytest

from bus_toolkit.cli.scenes import COMMAND
from bus_toolkit.errors import ConfigError


def test_writes_the_splits_that_are_asked_for(tmp_path, capsys):
    COMMAND.main(
        [str(tmp_path), "--train", "3", "--val", "2", "--test", "0", "--scenes", '{"noise": 0}', "--workers", "1"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train_3", "val_2"]
    assert json.loads((tmp_path / "train_3" / "manifest.json").read_text())["settings"]["noise"] == 0
    assert "3 scenes" in capsys.readouterr().out


def test_refuses_unknown_settings(tmp_path):
    with pytest.raises(ConfigError, match="no setting named 'sise'"):
        COMMAND.main([str(tmp_path), "--scenes", '{"sise": 64}'])
