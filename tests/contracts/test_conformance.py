"""Everything that is registered, built-in or by a plugin, passes the kit; a new part needs no line here."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel

from bus_toolkit.plugin.manager import BUILTINS, list_plugins
from bus_toolkit.testing.plugin import CHECKS, check_component, components_of

COMPONENTS = {
    str(component): component
    for record in list_plugins()
    if record.status == "loaded"
    for component in components_of(record.name)
    if component.kind in CHECKS
}
# They read files in layouts of other projects, or samples of two images, which their own tests make.
NEED_OWN_SAMPLES = {
    "dataset CaptionedImages",
    "dataset LabelledImages",
    "dataset MixedSources",
    "dataset NLVRDataset",
    "dataset QuestionAnswers",
    "dataset ReferringExpressions",
    "dataset RegionCaptionDataset",
    "dataset SceneTask",
    "dataset ShardDataset",
    "dataset Statements",
    "dataset TextsOfImage",
    "transform AnswerLabel",
    "transform RandomSwapImagesWithText",
}


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what the kit cannot fill in itself."""
    folder = tmp_path_factory.mktemp("kit")
    GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=32, n_layer=2, n_head=4)).save_pretrained(
        folder / "lm"
    )
    return {
        "FolderTokenizer": {"folder": str(written_tokenizer(folder / "words"))},
        "CausalLMFolder": {"folder": str(folder / "lm")},
        "SceneDataset": {"data_root": str(folder), "split": "train", "num_images": 4},
        "OracleBoxes": {"in_study": True},
        "EarlyStoppingHook": {"monitor": "retrieval/i2t_R@1"},
        "RandomResizedCropWithBoxes": {"scale": 32},
        "ResizeAndPad": {"scale": 32},
        "TopKAccuracy": {"topk": [1, 2]},  # the kit has three classes
        "Conversations": {"ann_file": str(written_dialogs(folder)), "img_dir": str(folder)},
        "ImageTextPairs": {"ann_file": str(written_pairs(folder)), "img_dir": str(folder)},
    }


def written_pairs(folder: Path) -> Path:
    rows = [{"image": f"{number}.png", "caption": f"picture {number}"} for number in range(4)]
    for row in rows:
        cv2.imwrite(str(folder / row["image"]), np.zeros((20, 20, 3), dtype=np.uint8))
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "caption"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "pairs.csv"


def written_tokenizer(folder: Path) -> Path:
    words = {entry: number for number, entry in enumerate(["<pad>", "<unk>", "<s>", "</s>", *"a b small red".split()])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    marks = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(marks))
    return folder


def written_dialogs(folder: Path) -> Path:
    path = folder / "dialogs.json"
    talk = [{"from": "human", "value": "<image>\nwhat is it"}, {"from": "gpt", "value": "a picture"}]
    path.write_text(json.dumps([{"id": n, "image": f"{n}.png", "conversations": talk} for n in range(4)]))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMPONENTS.keys() - NEED_OWN_SAMPLES))
def test_keeps_the_promises_of_its_kind(name: str, settings: dict[str, dict[str, Any]]) -> None:
    if name == "backbone TimmVision":
        pytest.importorskip("timm")
    component = COMPONENTS[name]
    assert check_component(component, settings.get(component.name, {})).problem == ""


def test_a_kind_without_checks_is_named() -> None:
    skipped = {component.kind for component in components_of(BUILTINS)} - CHECKS.keys()
    assert skipped == {"model", "model_wrapper", "data sampler", "loop", "optim_wrapper"}
