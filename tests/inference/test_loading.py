"""Which config and weights are loaded, and the errors if there are none."""

from __future__ import annotations

import logging
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from bus_toolkit import Inferencer
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.inference.loading import load_trained
from bus_toolkit.weights.run_state import write_section
from tests.inference.toy import SIDE, TEXTS, run_config, write_run

CPU = torch.device("cpu")


@pytest.fixture
def copy(run, tmp_path):
    """A run folder with the config alone, and the weights of the run."""
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "config.yaml").write_text((run / "config.yaml").read_text())
    return folder, torch.load(run / "epoch_1.pth", weights_only=True)["state_dict"]


def test_the_model_only_predicts(inferencer):
    assert not inferencer.model.training and not any(p.requires_grad for p in inferencer.model.parameters())


def test_the_newest_checkpoint_of_a_run_folder_is_taken(copy):
    folder, state = copy
    for number in (1, 2):
        torch.save(
            {"state_dict": {name: value + number for name, value in state.items()}}, folder / f"epoch_{number}.pth"
        )
    os.utime(folder / "epoch_1.pth", (1, 1))
    name = "heads.itm.classifier.bias"
    assert torch.equal(load_trained(folder, None, [], CPU)[1].state_dict()[name], state[name] + 2)
    (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
    assert torch.equal(load_trained(folder, None, [], CPU)[1].state_dict()[name], state[name] + 1)
    assert torch.equal(load_trained(folder, folder / "epoch_2.pth", [], CPU)[1].state_dict()[name], state[name] + 2)


def test_a_yaml_with_weights_is_the_same_model(run, inferencer, pictures, copy, tmp_path):
    folder, state = copy
    save_file({name: value.clone() for name, value in state.items()}, tmp_path / "weights.safetensors")
    # As a distributed wrapper names them.
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "bare.pth")
    expected = inferencer.answer(pictures, TEXTS)
    for file in ("weights.safetensors", "bare.pth"):
        other = Inferencer(folder / "config.yaml", checkpoint=tmp_path / file, device="cpu")
        assert other.answer(pictures, TEXTS) == expected


def test_options_change_the_config(run):
    cfg, model = load_trained(run, None, ["model.selectors.0.keep_ratio=0.25"], CPU)
    assert cfg.model.selectors[0].keep_ratio == 0.25 == model.backbone.selectors[0].keep_ratio


def test_a_momentum_branch_is_not_kept(tmp_path):
    config = run_config(tmp_path / "scenes", itc={"type": "ITCHead", "queue_size": 4})
    config["model"]["momentum"] = {"decay": 0.9}
    model = load_trained(write_run(tmp_path / "run", config), None, [], CPU)[1]
    assert model.momentum is None


def test_the_config_in_a_checkpoint_goes_before_that_of_its_folder(copy, caplog, tmp_path):
    folder, state = copy
    text = (folder / "config.yaml").read_text()
    assert "keep_ratio: 0.5" in text
    checkpoint = {"state_dict": state, "meta": {}}
    write_section(checkpoint, "config", text)
    torch.save(checkpoint, folder / "epoch_1.pth")
    with caplog.at_level(logging.WARNING, logger="bus_toolkit.inference"):
        assert load_trained(folder, None, [], CPU)[0].model.selectors[0].keep_ratio == 0.5
        assert not caplog.records
        (folder / "config.yaml").write_text(text.replace("keep_ratio: 0.5", "keep_ratio: 0.25"))  # another run's
        assert load_trained(folder, None, [], CPU)[0].model.selectors[0].keep_ratio == 0.5
        model = load_trained(folder, None, ["model.selectors.0.keep_ratio=0.75"], CPU)[1]
        assert model.backbone.selectors[0].keep_ratio == 0.75
        (shown, _) = [record.getMessage() for record in caplog.records]
        difference = "another model section: model.selectors.0.keep_ratio 0.25 here, 0.5 there"
        assert difference in shown and shown.endswith(f"Here is {folder}/config.yaml, which is not used.")
        caplog.clear()
        cfg = load_trained(folder / "config.yaml", folder / "epoch_1.pth", [], CPU)[0]
        assert cfg.model.selectors[0].keep_ratio == 0.25
        assert difference in caplog.text and "The values here are used." in caplog.text
    (folder / "config.yaml").unlink()
    assert load_trained(folder, None, [], CPU)[0].model.selectors[0].keep_ratio == 0.5


def test_what_a_source_has_no_is_reported(run, tmp_path):
    with pytest.raises(ConfigError, match="a run folder has a config.yaml, got .* without one"):
        Inferencer(tmp_path)
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(CheckpointError, match=r"no epoch_\*.pth or iter_\*.pth in .* or give checkpoint"):
        Inferencer(tmp_path)
    with pytest.raises(CheckpointError, match="config.yaml names no weights. Give checkpoint"):
        Inferencer(tmp_path / "config.yaml")
    with pytest.raises(CheckpointError, match="gone.pth: no such checkpoint"):
        Inferencer(tmp_path, checkpoint="gone.pth")
    with pytest.raises(
        ConfigError, match=f"neither a run folder nor a config .*/{run.name[:-1]}. Did you mean '{run.name}'?"
    ):
        Inferencer(run.with_name(run.name[:-1]))
    with pytest.raises(ConfigError, match="gone.yaml"):
        Inferencer(tmp_path / "gone.yaml", checkpoint=run / "epoch_1.pth")


def test_weights_of_another_model_are_reported(copy, tmp_path):
    folder, state = copy
    cases = {
        r"it has no heads.itm.classifier.bias\. .* Use the config": {
            name: value for name, value in state.items() if name != "heads.itm.classifier.bias"
        },
        r"it has heads.other, which the model does not have": {**state, "heads.other.weight": torch.zeros(1)},
        r"heads.itm.classifier.bias has the shape \(3,\), the model \(2,\)": {
            **state,
            "heads.itm.classifier.bias": torch.zeros(3),
        },
    }
    for message, changed in cases.items():
        torch.save({"state_dict": changed}, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match=f"other.pth: does not fit this model: {message}"):
            Inferencer(folder, checkpoint=tmp_path / "other.pth")


def test_positions_of_another_image_size_are_interpolated_and_reported(copy, tmp_path, caplog):
    folder, state = copy
    larger = [f"model.backbone.img_size={SIDE + 8}"]
    torch.save({"state_dict": state}, folder / "epoch_1.pth")
    with caplog.at_level(logging.INFO, logger="bus_toolkit.inference"):
        load_trained(folder, None, [], CPU)
        assert "interpolated" not in caplog.text
        load_trained(folder, None, larger, CPU)
    (line,) = [record.getMessage() for record in caplog.records if "interpolated" in record.getMessage()]
    # One patch has 8 x 8 pixels; one class token.
    before, after = (SIDE // 8) ** 2 + 1, (SIDE // 8 + 1) ** 2 + 1
    assert line.endswith(f"this model: backbone.vit.pos_embed (1, {before}, 32) to (1, {after}, 32)")

    # Positions that can be interpolated are no mistake, so another tensor is named alone.
    torch.save({"state_dict": {**state, "heads.itm.classifier.bias": torch.zeros(3)}}, folder / "epoch_1.pth")
    with pytest.raises(
        CheckpointError, match=r"fit this model: heads.itm.classifier.bias has the shape \(3,\), the model \(2,\)\. Tr"
    ):
        load_trained(folder, None, larger, CPU)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_checkpoint_runs_no_code(copy, tmp_path, monkeypatch):
    folder, state = copy
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": state, "meta": Evil()}))
    with pytest.raises(CheckpointError, match=r"evil.pth: (not loaded, because|not a readable)"):
        Inferencer(folder, checkpoint=tmp_path / "evil.pth")
    torch.save({"state_dict": state, "meta": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="evil.pth: not loaded, because reading it could run code"):
        Inferencer(folder, checkpoint=tmp_path / "evil.pth")
    # A run folder that calls itself trusted is not; only the caller may say so.
    text = (folder / "config.yaml").read_text()
    assert "trusted_checkpoints: false" in text
    (folder / "config.yaml").write_text(text.replace("trusted_checkpoints: false", "trusted_checkpoints: true"))
    with pytest.raises(CheckpointError, match="evil.pth: not loaded, because reading it could run code"):
        Inferencer(folder, checkpoint=tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_a_model_that_reads_no_images_is_reported(tmp_path, run):
    words = {
        "model": {
            "type": "CaptionLanguageModel",
            "tokenizer": {"type": "CorpusTokenizer", "max_length": 16},
            "text_decoder": {"type": "BertTextDecoder", "text_dim": 32, "num_layers": 1, "num_heads": 4,
                             "max_text_length": 16, "cross_attention": False},
        }
    }  # fmt: skip
    import yaml

    (tmp_path / "words.yaml").write_text(yaml.safe_dump(words))
    with pytest.raises(ConfigError, match="model.type: must be VLPModel, got CaptionLanguageModel.*bus-toolkit test"):
        Inferencer(tmp_path / "words.yaml", checkpoint=run / "epoch_1.pth")


def test_what_is_no_place_of_a_run_is_answered(run):
    with pytest.raises(ConfigError, match=r"^Inferencer: must be the path of a run folder .*, got Linear. A model"):
        Inferencer(torch.nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match=r"epoch_1.pth is no run folder and no config. Give the folder"):
        Inferencer(run / "epoch_1.pth")
