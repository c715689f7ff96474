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


def test_writes_another_family(tmp_path):
    few = ["--train", "0", "--val", "2", "--test", "0", "--workers", "1"]
    COMMAND.main([str(tmp_path), "--family", "needles", *few, "--scenes", '{"object_size": 6}'])
    assert json.loads((tmp_path / "val_2" / "manifest.json").read_text())["settings"]["object_size"] == 6
    with pytest.raises(ConfigError, match="family: must be one of scenes, needles, got 'haystack'"):
        COMMAND.main([str(tmp_path), "--family", "haystack"])
