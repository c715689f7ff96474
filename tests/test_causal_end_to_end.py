"""A vision-language model with a causal language model, trained, resumed and measured from a YAML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bus_toolkit.engine import RunOptions, evaluate, train
from bus_toolkit.errors import ConfigError
from tests.small_run import small

ROOT = Path(__file__).parent.parent / "registry_configs"
CONFIG = """
_base_:
  - {root}/_base_/data_vqa_scenes.yaml
  - {root}/_base_/schedule_tiny.yaml
  - {root}/_base_/runtime.yaml
model:
  type: CausalVLM
  data_preprocessor:
    type: mmpretrain.MultiModalDataPreprocessor
    mean: [127.5, 127.5, 127.5]
    std: [63.75, 63.75, 63.75]
    to_rgb: true
  tokenizer: {{type: CorpusTokenizer, max_length: 16}}
  backbone:
    type: mmpretrain.VisionTransformer
    arch: {{embed_dims: 16, num_layers: 2, num_heads: 2, feedforward_channels: 32}}
    img_size: 64
    patch_size: 16
  language_model: {{type: CausalLM, hidden_size: 16, num_layers: 3, num_heads: 2, max_text_length: 64}}
  selectors:
    - {{type: TSPS, blocks: [1], keep_ratio: {{start: 1.0, end: 0.25, epochs: 2}}, fuse: normalized}}
    - {{type: Random, blocks: [2], keep_ratio: 0.5}}
  tasks:
    vqa: {{kind: answer, answer_list: [yes, no, red, blue]}}
  writing: {{max_new_tokens: 3}}
  patch_text: {{form: softmax, weight: 0.5}}
val_cfg: &loop {{type: VLPEvalLoop}}
test_cfg: *loop
val_evaluator: &metrics [{{type: VQAAccuracy}}, {{type: PatchTextAUC}}]
test_evaluator: *metrics
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "causal.yaml"
    path.write_text(CONFIG.format(root=ROOT))
    return path


def test_questions_are_trained_and_measured(config: Path, tmp_path: Path) -> None:
    overrides, run = small(tmp_path / "scenes", "train_cfg.max_epochs=1"), tmp_path / "run"
    train(config, overrides, RunOptions(work_dir=str(run)))
    trained = json.loads((run / "report" / "val" / "results.json").read_text())["metrics"]
    options = RunOptions(work_dir=str(tmp_path / "test_run"), load_from=str(run / "epoch_1.pth"))
    for metrics in (trained, evaluate(config, overrides, options)):
        assert metrics["vqa/num_questions"] > 20
        assert 0.0 <= metrics["vqa/accuracy"] <= 1.0 and 0.0 <= metrics["patch_text/auc"] <= 1.0
    ratios = [json.loads(line) for line in next(run.glob("*/vis_data/scalars.json")).read_text().splitlines()]
    # After a quarter of the way down a cosine from 1 to 0.25: 1 - 0.75 (1 - cos(pi / 4)) / 2. The other has one ratio.
    assert [line["keep_ratio"] for line in ratios if "keep_ratio" in line][-1] == pytest.approx(0.8902, abs=1e-4)


def test_a_resumed_training_ends_as_one_that_never_stopped(config: Path, tmp_path: Path) -> None:
    # Flips off: the state of the loader's random numbers is not part of a checkpoint.
    off = "train_dataloader.dataset.reader.pipeline.1.prob=0"
    overrides = small(tmp_path / "scenes", "train_cfg.max_epochs=2", off, "default_hooks.checkpoint.max_keep_ckpts=2")
    run, ends = tmp_path / "run", []
    for resume in (None, "latest"):
        train(config, overrides, RunOptions(work_dir=str(run), no_validate=True, resume=resume))
        ends.append(torch.load(run / "epoch_2.pth", weights_only=False)["state_dict"])
        # The same run, cut back to the end of its first epoch.
        (run / "epoch_2.pth").unlink()
        (run / "last_checkpoint").write_text(str(run / "epoch_1.pth"))
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], msg=name)


def test_a_config_with_mistakes_is_refused_before_anything_is_built(config: Path, tmp_path: Path) -> None:
    def refused(*overrides: str) -> str:
        with pytest.raises(ConfigError) as error:
            train(config, small(tmp_path / "scenes", *overrides), RunOptions(work_dir=str(tmp_path / "run")))
        return str(error.value)

    assert "model.tasks.vqa" in refused("model.tasks.vqa.kind=chats")
    assert "model.template" in refused('model.template={"trun": "{text}"}')
    assert "model.selectors.0" in refused("model.selectors.0.keep_rate=0.5")
    assert "pred_caption, which no head predicts" in refused('val_evaluator=[{"type": "CaptionMetrics"}]')
