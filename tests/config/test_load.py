import copy
import os
import pickle

import pytest
import yapf.yapflib.yapf_api
from mmengine.config import Config
from mmengine.registry import DATASETS

from bus_toolkit.config import dump_config, load_config


def test_returns_what_mmengine_takes(write):
    cfg = load_config(write("_base_: base.yaml"))
    assert isinstance(cfg, Config) and cfg.default_scope == "mmengine"
    assert cfg.filename.endswith("run.yaml")
    assert DATASETS.build(cfg.train_dataloader.dataset).__class__.__name__ == "Points"


def test_our_types_get_their_scope_and_others_stay(write):
    cfg = load_config(write("_base_: base.yaml"))
    assert cfg.model.type == "bus_toolkit.VLPModel"
    assert cfg.train_dataloader.dataset.type == "bus_toolkit.Points"
    assert cfg.train_dataloader.sampler.type == "DefaultSampler"
    assert cfg.model.decoder.type == "PAD"


def test_a_dumped_config_loads_to_an_equal_one(write, tmp_path):
    cfg = load_config(write("_base_: base.yaml\nwork_dir: '$${HOME}/on'"), ["optim_wrapper.optimizer.lr=1e-5"])
    path = tmp_path / "work" / "config.yaml"
    dump_config(cfg, path)
    assert load_config(path).to_dict() == cfg.to_dict()
    assert os.listdir(path.parent) == ["config.yaml"]


def test_its_python_text_reads_the_same_and_takes_no_formatter(write, monkeypatch):
    monkeypatch.setattr(yapf.yapflib.yapf_api, "FormatCode", None)
    cfg = load_config(write("_base_: base.yaml"), ["model.decoder.num_layers=2", "train_cfg.val_interval=3"])
    for same in (cfg, copy.deepcopy(cfg), pickle.loads(pickle.dumps(cfg))):
        assert Config.fromstring(same.pretty_text, ".py").to_dict() == cfg.to_dict()


def test_a_failed_dump_leaves_the_old_file(write, tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        dump_config(load_config(write("_base_: base.yaml")), path)
    assert path.read_text() == "old" and not list(tmp_path.glob(".*.tmp"))
