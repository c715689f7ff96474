"""A saved model goes to a stand-in of the hub and comes back; nothing else is ever looked up."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import bus_toolkit
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.pretrained import hub
from tests.inference.toy import TEXTS
from tests.pretrained.stand_in import StandIn


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    there = StandIn(tmp_path / "hub")
    monkeypatch.setattr(hub, "_library", lambda: there)
    return there


def test_a_model_comes_back_from_the_hub(trained, saved, pictures, stand_in, tmp_path):
    sent = shutil.copytree(saved, tmp_path / "sent")
    (sent / "private.txt").write_text("not meant to be shared")
    name = bus_toolkit.push_to_hub(sent, "me/toy", private=True)
    assert name == "hf-hub:me/toy@c1" and stand_in.calls[0]["private"] is True
    assert not (tmp_path / "hub" / "me" / "toy" / "c1" / "private.txt").exists()
    (sent / "README.md").write_text("a second version")
    assert bus_toolkit.push_to_hub(sent, "hf-hub:me/toy") == "hf-hub:me/toy@c2"
    model = bus_toolkit.from_pretrained(name, device="cpu")
    assert model.answer(pictures, TEXTS) == trained.answer(pictures, TEXTS)
    assert [call["allow_patterns"] for call in stand_in.calls if "allow_patterns" in call][0] == ["bus_toolkit.json"]
    assert (tmp_path / "hub/cache/me/toy/c1/README.md").read_text() != "a second version"


def test_mistakes_are_answered(saved, stand_in, tmp_path):
    for name in ("hf-hub:toy", "hf-hub:me/toy@", "hf-hub:../../etc", "hf-hub:me/toy/deep", "hf-hub:https://x/y"):
        with pytest.raises(ConfigError, match="no model of a hub has this name. Write hf-hub:OWNER/NAME"):
            bus_toolkit.from_pretrained(name)
    with pytest.raises(CheckpointError, match=r"hf-hub:me/gone: cannot be fetched \(Cannot find it\\x1b\[31m\). Check"):
        bus_toolkit.from_pretrained("hf-hub:me/gone")
    with pytest.raises(ConfigError, match="must be OWNER/NAME, got 'toy'"):
        bus_toolkit.push_to_hub(saved, "toy")
    with pytest.raises(CheckpointError, match="is no saved model, it has no bus_toolkit.json. Write one first"):
        bus_toolkit.push_to_hub(tmp_path, "me/toy")
    with pytest.raises(CheckpointError, match="other/toy: the hub refuses it .403 Forbidden: you may not create it."):
        bus_toolkit.push_to_hub(saved, "other/toy")
    changed = shutil.copytree(saved, tmp_path / "changed")
    (changed / "config.yaml").write_text("model: {}")
    with pytest.raises(CheckpointError, match="config.yaml has other bytes"):
        bus_toolkit.push_to_hub(changed, "me/toy")
    (tmp_path / "hub/me/plain/c1").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="hf-hub:me/plain: holds no bus_toolkit.json, so it is no model"):
        bus_toolkit.from_pretrained("hf-hub:me/plain")


def test_a_name_without_the_prefix_is_not_looked_up(stand_in, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="neither a run folder nor a config me/toy.*is named hf-hub:me/toy"):
        bus_toolkit.from_pretrained("me/toy")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me").mkdir()  # then it is a path
    with pytest.raises(ConfigError, match=r"or a folder of save_pretrained\.$"):
        bus_toolkit.from_pretrained("me/toy")
    assert stand_in.calls == []


def test_without_the_extra_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"needs huggingface_hub.*pip install 'bus_toolkit\[hub\]'"):
        bus_toolkit.from_pretrained("hf-hub:me/toy")


def test_importing_it_imports_no_hub():
    code = "import sys, bus_toolkit.pretrained.hub; print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
