"""The configs that LANGUAGE_MODELS.md shows for weights and dialogs of one's own train, word for word."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import transformers

from bus_toolkit.engine import RunOptions, train
from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.tiny import build
from tests.tokenizers.test_folder import LLAMA, written

PAGE = (Path(__file__).parent.parent / "registry_configs" / "LANGUAGE_MODELS.md").read_text()
TRAINING = PAGE.split("## Train your own")[1].split("\n## ")[0]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with a tiny tower and language model where the page has them, 9 patches of 112 px in 336 px."""
    torch.manual_seed(0)
    written(tmp_path / "llm", LLAMA, ["<unk>", "<s>", "</s>"])
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    llama = transformers.LlamaConfig(**small, vocab_size=320, num_hidden_layers=17, max_position_embeddings=512)
    transformers.LlamaForCausalLM(llama).save_pretrained(tmp_path / "weights" / "llm")
    clip = transformers.CLIPVisionConfig(**small, num_hidden_layers=2, image_size=336, patch_size=112)
    transformers.CLIPVisionModel(clip).save_pretrained(tmp_path / "weights" / "clip")
    for file in (tmp_path / "llm").iterdir():
        file.rename(tmp_path / "weights" / "llm" / file.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_dialogs_of_ones_own_are_trained_and_answered(weights: Path) -> None:
    (weights / "data" / "photos").mkdir(parents=True)
    for number in range(8):
        cv2.imwrite(f"data/photos/{number}.jpg", np.full((40, 60, 3), 20 * number, np.uint8))
    ((entry,),) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TRAINING, re.DOTALL))
    entries = [{**entry, "id": str(number), "image": f"photos/{number}.jpg"} for number in range(8)]
    for split in ("train", "val"):
        (weights / "data" / f"{split}.json").write_text(json.dumps(entries))
    blocks = re.findall(r"```yaml\n(.*?)```", TRAINING, re.DOTALL)
    assert len(blocks) == 2
    (weights / "mine.yaml").write_text("\n".join(blocks))
    # peft is not part of the tests' packages; workers would only cost time.
    overrides = ["model.lora=null", "model.writing.max_new_tokens=2"]
    overrides += [f"{loader}_dataloader.num_workers=0" for loader in ("train", "val", "test")]
    train("mine.yaml", overrides, RunOptions(work_dir="work_dirs/mine"))
    metrics = json.loads(Path("work_dirs/mine/report/val/results.json").read_text())["metrics"]
    assert metrics["vqa/num_questions"] == 8
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", TRAINING.split("### Ask it in Python")[1], re.DOTALL)[0], names)
    assert isinstance(names["samples"][0].pred_answer, str)
    learned = torch.load("work_dirs/mine/epoch_1.pth", weights_only=False)["state_dict"]
    assert all(torch.equal(value, learned[name]) for name, value in names["model"].state_dict().items())


def test_selectors_learn_in_a_loop_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "optimizer.step()" in block]
    tiny = build("llava")
    inputs = tiny.with_labels([tiny.row(), tiny.row()])
    monkeypatch.chdir(tmp_path)
    names = {"model": tiny.model, "labels": inputs.pop("labels"), "inputs": inputs, "reduce_tokens": reduce_tokens}
    exec(code, names)
    assert names["reduction"].counts == (9, 9), "half of 16 and the fused one"
    moved = {name: one.grad is not None and bool(one.grad.any()) for name, one in names["selectors"].named_parameters()}
    assert any(moved.values()), moved
    assert torch.load("selectors.pth").keys() == names["selectors"].state_dict().keys()
