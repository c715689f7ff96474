"""What a saved model predicts in another process and another folder is what the run predicts, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors import safe_open

import bus_toolkit
from bus_toolkit import Inferencer
from bus_toolkit.config import load_config
from bus_toolkit.engine.whole_start import decide_start
from bus_toolkit.errors import CheckpointError, ConfigError, PluginError
from bus_toolkit.pretrained.layout import Index, read_index, sha256
from tests.inference.toy import TEXTS

ASK = """
import json, sys
import bus_toolkit, numpy
model = bus_toolkit.from_pretrained(sys.argv[1], device="cpu", batch_size=2)
images, texts = json.loads(sys.argv[2])
print(json.dumps([
    model.answer(images, texts), model.caption(images), model.ground(images, texts),
    model.retrieve(images, texts, rerank=2),
    numpy.asarray(model.explain(images, texts)[0]["selectors"][0]["scores"]).tolist(),
]))
"""


def reindexed(folder):
    """Give changed files checksums that fit, as somebody does who means harm."""
    index = read_index(folder)
    files = {name: sha256(folder / name) for name in index.files if (folder / name).is_file()}
    (folder / "bus_toolkit.json").write_text(Index(files, index.plugins, index.toolkit).text())


@pytest.mark.slow
def test_another_process_in_another_folder_predicts_the_same_to_the_last_bit(trained, copied, pictures, tmp_path):
    words = [sys.executable, "-c", ASK, str(copied), json.dumps([pictures, TEXTS])]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert not done.returncode, done.stderr
    expected = [
        trained.answer(pictures, TEXTS),
        trained.caption(pictures),
        trained.ground(pictures, TEXTS),
        trained.retrieve(pictures, TEXTS, rerank=2),
        np.asarray(trained.explain(pictures, TEXTS)[0]["selectors"][0]["scores"]).tolist(),
    ]
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def test_what_only_a_training_needs_is_not_there(trained, saved):
    with safe_open(saved / "model.safetensors", framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    assert not [name for name in shapes if name.startswith("momentum")]
    assert shapes["heads.itc.image_queue"] == [0, 16]
    config = yaml.safe_load((saved / "config.yaml").read_text())
    assert "momentum" not in config["model"] and config["model"]["heads"]["vqa"]["alpha"] == 0
    assert set(config) == {"model", "test_dataloader"}
    assert (saved / "model.safetensors").stat().st_mode & 0o777 == (saved / "config.yaml").stat().st_mode & 0o777
    assert str(Path(trained.source).parent) not in "".join(path.read_text() for path in saved.glob("*.[ymj]*l*[ln]"))


def test_keep_ratios_of_a_schedule_are_those_of_the_checkpoint(trained, saved):
    model = bus_toolkit.from_pretrained(saved, device="cpu").model
    assert model.backbone.selectors[0].keep_ratio == trained.model.backbone.selectors[0].keep_ratio != 0.25
    assert (model.epoch, model.iteration) == (2.0, 6)


def test_a_saved_model_is_saved_again_as_the_same(saved, tmp_path):
    again = bus_toolkit.from_pretrained(saved, device="cpu").save_pretrained(
        tmp_path / saved.name, licence="Apache-2.0"
    )
    assert {path.name for path in again.iterdir()} == {path.name for path in saved.iterdir()}
    for path in saved.iterdir():
        assert sha256(again / path.name) == sha256(path), path.name
    assert "| vqa/accuracy | 0.25 |" in (again / "README.md").read_text()


def test_another_image_size_interpolates_as_in_the_run(trained, saved, pictures):
    size = ["model.backbone.img_size=40", "test_dataloader.dataset.pipeline.1.scale=[40, 40]"]
    here = bus_toolkit.from_pretrained(saved, device="cpu", cfg_options=size)
    there = Inferencer(trained.source, device="cpu", cfg_options=size)
    assert np.array_equal(here.index(pictures).feats, there.index(pictures).feats)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "vocabulary.txt", "training.yaml"])
def test_a_changed_file_is_refused(copied, name):
    content = bytearray((copied / name).read_bytes())
    content[-3] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"not the model that was saved: {name} has other bytes.*Copy the folder"):
        bus_toolkit.from_pretrained(copied)
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is not there"):
        bus_toolkit.from_pretrained(copied)


def test_the_card_may_be_edited(copied):
    (copied / "README.md").write_text("mine")
    assert bus_toolkit.from_pretrained(copied, device="cpu").cfg.model.type == "bus_toolkit.VLPModel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("[]", "must hold a mapping, got list"),
        ("{", "not a readable index"),
        ('{"version": 2, "files": {}}', "is of version 2, and this toolkit reads 1 to 1"),
        ('{"version": 1, "files": {"../x": "0"}}', "'../x', which is no plain name inside"),
        ('{"version": 1, "files": {"/etc/passwd": "0"}}', "which is no plain name inside"),
        ('{"version": 1, "files": {"config.yaml": "0"}}', "files does not name model.safetensors"),
        ('{"version": 1, "files": ["config.yaml"]}', "files must be a mapping"),
    ],
)
def test_an_index_that_is_none_is_refused(copied, change, message):
    (copied / "bus_toolkit.json").write_text(change)
    with pytest.raises(CheckpointError, match=message):
        bus_toolkit.from_pretrained(copied)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.heads.itc.type", "os.system", "no head named 'os.system'"),
        (
            "test_dataloader.dataset.pipeline.1.type",
            "subprocess.run",
            "no transform.* named 'subprocess.run'|registered",
        ),
        ("model.tokenizer.vocab_file", "/etc/passwd", "model.tokenizer.vocab_file: a saved model reads its own files"),
        ("model.tokenizer.vocab_file", "../run/vocabulary.txt", "a saved model reads its own files alone, got '../run"),
        ("model.heads.vqa.answers", "/etc/passwd", "a saved model reads its own files alone"),
    ],
)
def test_a_config_of_somebody_who_means_harm_neither_runs_code_nor_reads_other_files(copied, path, value, message):
    config = yaml.safe_load((copied / "config.yaml").read_text())
    *way, last = path.split(".")
    node = config
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[last] = value
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    reindexed(copied)
    with pytest.raises((CheckpointError, ConfigError), match=message):
        bus_toolkit.from_pretrained(copied)


def test_a_missing_plugin_is_named_with_its_package(copied):
    index = read_index(copied)
    (copied / "bus_toolkit.json").write_text(Index(index.files, {"gone": "bus-gone 1.2"}).text())
    with pytest.raises(
        PluginError, match="when it was saved, bus-gone 1.2 brought them(.|\n)*plugin 'gone' is not inst"
    ):
        bus_toolkit.from_pretrained(copied)


def test_other_folders_and_options_are_answered(trained, saved, run_free_folder):
    with pytest.raises(
        ConfigError, match="holds other files, which would be lost, the first: kept.txt. Name a new folder"
    ):
        trained.save_pretrained(run_free_folder)
    with pytest.raises(ConfigError, match="must be a folder, got the file"):
        trained.save_pretrained(run_free_folder / "kept.txt")
    assert [path.name for path in run_free_folder.iterdir()] == ["kept.txt"]
    with pytest.raises(CheckpointError, match="is a saved model with weights of its own, got checkpoint"):
        Inferencer(saved, checkpoint="epoch_1.pth")


@pytest.fixture
def run_free_folder(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "kept.txt").write_text("x")
    return folder


def test_no_training_goes_on_from_it(saved, trained):
    for path in (saved / "model.safetensors", saved):
        with pytest.raises(CheckpointError, match="--resume: .* is a saved model, .* optimizer.*load_from="):
            decide_start(load_config(f"{trained.source}/config.yaml"), str(path), "--resume")
