"""Text-aware models of mmpretrain, trained and evaluated by MMEngine's Runner as mmpretrain's tools call it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from tests.models.openmmlab_tiny import ARCH
from tests.openmmlab.blip_tiny import TSPS, aware, bert, plain

FOLDER = Path(__file__).parents[2] / "registry_configs" / "_openmmlab_"
EXAMPLES = sorted(FOLDER.glob("blip_*.py"))
QUIET = {"log_level": "ERROR", "custom_hooks": [{"type": "NoteLosses"}], "randomness": {"seed": 0}}


@HOOKS.register_module(force=True)
class NoteLosses(Hook):
    """Note the losses of each step."""

    seen: list[dict[str, float]]

    def before_train(self, runner: Runner) -> None:
        type(self).seen = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.seen.append({name: float(value.detach()) for name, value in outputs.items()})


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    settings = SceneSettings(image_size=32, num_objects=(2, 3))
    for split, count in (("train", 32), ("val", 6)):
        prepare_scenes(folder, split, count, settings, workers=1)
    assert 30 < runpy.run_path(str(FOLDER / "scenes_vocabulary.py"))["write_vocabulary"](folder) < 60
    return folder


def example(path: Path, scenes: Path, run: Path, steps: int = 3) -> Config:
    """Return an example at width 32 for the scenes of the tests."""
    config = Config.fromfile(path)
    small = {"arch": ARCH, "img_size": 32}
    config.merge_from_dict(
        {
            "model.tokenizer.name_or_path": str(scenes),
            "model.vision_backbone": {**small, "patch_size": 8},
            "model.text_backbone.med_config": bert(vocab_size=64),
            "model.vision_neck": {"in_features": 32, "out_features": 16},
            "model.text_neck": {"in_features": 32, "out_features": 16},
            "model.head": {"embed_dim": 16, "queue_size": 16},
            "model.multimodal_head.hidden_size": 32,
            "model.topk": 2,
            "val_evaluator.topk": [1, 5],
            "param_scheduler": None,
            "work_dir": str(run),
            "experiment_name": run.name,
            **QUIET,
        }
    )
    if "ELIP" in path.read_text():  # the places of four blocks
        config.model.selectors[0].update(blocks=[2, 3], look_ahead=[1, 2], keep_ratio=[0.9, 0.5])
    for loader, split in ((config.train_dataloader, "train_32"), (config.val_dataloader, "val_6")):
        loader.update(num_workers=0, persistent_workers=False, batch_size=8 if split == "train_32" else 3)
        loader.dataset.data_root = str(scenes / split)
    config.train_cfg = {"by_epoch": False, "max_iters": steps, "val_interval": steps}
    config.train_dataloader.sampler = {"type": "InfiniteSampler", "shuffle": True}
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    return config


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if "tsps" in path.stem else [pytest.mark.slow], id=path.stem) for path in EXAMPLES],
)
def test_an_example_trains_and_ranks(path: Path, scenes: Path, tmp_path: Path) -> None:
    assert "Command" in path.read_text().partition("_base_")[0]
    runner = Runner.from_cfg(example(path, scenes, tmp_path))
    selectors = list(getattr(runner.model.vision_backbone, "selectors", []))
    before = [p.detach().clone() for selector in selectors for p in selector.parameters()]
    runner.train()
    assert all(torch.isfinite(torch.tensor(list(losses.values()))).all() for losses in NoteLosses.seen)
    assert [sorted(losses) for losses in NoteLosses.seen] == [["itc_loss", "itm_loss", "loss"]] * 3
    after = [p for selector in selectors for p in selector.parameters()]
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    metrics = runner.val_loop.run()
    assert {"i2t/retrieval/Recall@1", "t2i/retrieval/Recall@1"} <= set(metrics)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem != "blip_scenes"], ids=lambda path: path.stem)
def test_the_loss_of_an_example_falls_in_50_steps(path: Path, scenes: Path, tmp_path: Path) -> None:
    runner = Runner.from_cfg(example(path, scenes, tmp_path, steps=50))
    runner.train()
    losses = [step["loss"] for step in NoteLosses.seen]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


def test_the_examples_are_the_plain_one_with_a_few_lines_more() -> None:
    base, *others = (Config.fromfile(FOLDER / f"blip_{name}scenes.py") for name in ("", "tsps_", "elip_"))
    ours = {"type", "selectors", "conditioning", "without_text"}
    for other in others:
        assert other.train_dataloader == base.train_dataloader
        assert {k: v for k, v in other.model.items() if k not in ours} == {
            k: v for k, v in base.model.items() if k != "type"
        }


def test_questions_of_mmpretrains_reader_select_in_training_and_evaluation(scenes: Path, tmp_path: Path) -> None:
    model = aware(plain("BlipVQA", str(scenes)), TSPS)
    model["multimodal_backbone"]["med_config"] = model["head"]["decoder"]["med_config"] = bert(vocab_size=64)
    model["head"]["decoder"]["type"] = "bus_toolkit.XBertLMHeadDecoder"
    loaders = []
    for split, folder in (("train", "train_32"), ("val", "val_6")):
        keys = ["question", "gt_answer", "gt_answer_weight"]
        steps = [{"type": "LoadImageFromFile"}, {"type": "PackInputs", "algorithm_keys": keys}]
        dataset = {
            "type": "COCOVQA",
            "data_root": str(scenes / folder),
            "data_prefix": "images",
            "question_file": f"questions_{split}.json",
            "ann_file": f"answers_{split}.json",
            "pipeline": steps,
            "indices": 16,
        }
        sampler = {"type": "DefaultSampler", "shuffle": split == "train"}
        loaders.append({"batch_size": 8, "num_workers": 0, "sampler": sampler, "dataset": dataset})
    config = Config(
        {
            "default_scope": "mmpretrain",
            "model": model,
            "train_dataloader": {**loaders[0], "collate_fn": {"type": "default_collate"}},
            "val_dataloader": {**loaders[1], "collate_fn": {"type": "default_collate"}},
            "val_evaluator": {"type": "VQAAcc"},
            "train_cfg": {"by_epoch": True, "max_epochs": 1},
            "val_cfg": {},
            "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-3}},
            "data_preprocessor": {"type": "MultiModalDataPreprocessor", "mean": [127.5] * 3, "std": [127.5] * 3},
            "work_dir": str(tmp_path),
            "experiment_name": tmp_path.name,
            **QUIET,
        }
    )
    runner = Runner.from_cfg(config)
    runner.train()
    assert len(NoteLosses.seen) == 2 and "vqa_loss" in NoteLosses.seen[0]
    assert 0.0 <= runner.val_loop.run()["VQA/acc"] <= 100.0
    assert MODELS.get("BlipVQA") in type(runner.model).__mro__
