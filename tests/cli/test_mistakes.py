"""Mistakes that new users type, as command lines: a line says what is wrong and what to do, the exit code is 2."""

from __future__ import annotations

import shlex
import sys

import pytest

from bus_toolkit.cli.main import main
from bus_toolkit.cli.run import MISTAKE, run_cli
from tests.engine.own_pairs import CONFIG, settings, write_pairs

# Overrides of a training on own pairs, and what is said about them.
TRAINING = [
    ("settings.pairs=nope.csv", "nope.csv: cannot be read: No such file or directory. Correct the path."),
    ("settings.images=phots", "img_dir: there is no folder phots. Correct the path."),
    ("settings.imgsize=64", "settings.imgsize: settings has no 'imgsize'. Did you mean 'img_size'?"),
    (
        "settings.img_size=20",
        "patches 8 pixels apart do not tile an image of (20, 20) pixels. Choose img_size as a mult",
    ),
    (
        "model.backbone.img_size=32",
        "images leave this pipeline with 16 px, model.backbone takes 32 px. Set both to one",
    ),
    ("val_dataloader.dataset.pipeline.1.scale=24", "val_dataloader.dataset.pipeline.1.scale: images leave this pipel"),
    ("train_dataloader.batch_size=300", "is larger than the data and drop_last leaves out a batch that is not full"),
    ("train_dataloader.batch_size=0", "train_dataloader.batch_size: must be at least 1, got 0."),
    ("train_dataloader.num_workers=-1", "train_dataloader.num_workers: must be 0 or more, got -1."),
    ("train_dataloader.persistent_workers=true", "true needs num_workers of at least 1, got 0. Set it to false."),
    ("train_dataloader.sampler.type=RandomSampler", "no data sampler is registered as 'RandomSampler'. Registered: "),
    ("train_dataloader.dataset.split=training", "split: must be one of train, val or null, got 'training'."),
    ("train_dataloader.dataset.val_share=2", "ImageTextPairs.val_share: must be between 0 and 1, got 2."),
    ("train_dataloader.dataset.ann_file=photos", "must be a .csv, .tsv, .json, .jsonl, .ndjson file, got photos."),
    ("train_dataloader.dataset.text_key=kaption", "has no 'kaption', got file, caption. Set text_key to one of these."),
    ("train_dataloader.collate_fn.type=pseudo_collate", "must stack the images, got pseudo_collate"),
    (
        "train_dataloader.dataset.pipeline=[{type: LoadImage},{type: PackRegions}]",
        "Add {type: mmpretrain.Resize, scale",
    ),
    ("train_dataloader.dataset.pipeline.2.prob=7", "RandomFlipWithText.prob: must be in [0, 1], got 7."),
    (
        "optim_wrapper=null",
        "optim_wrapper: a training needs it, got none. Add it, or put a base file that has it into _base_.",
    ),
    ("model.selectors={type: Random, blocks: [1]}", "model.selectors: must be a list (a mapping each), got {"),
    (
        "model.selectors=[Random]",
        "model.selectors.0: must be a mapping with a 'type', got 'Random'. Write {type: Random}",
    ),
    ("model.selectors.0.type=DivPrun", "no patch selector named 'DivPrun'."),
    ("model.selectors.0.keep_ratio=1.4", "model.selectors.0.keep_ratio: must be in (0, 1], got 1.4."),
    ("model.selectors.0.keep_ration=0.4", "model.selectors.0 has no 'keep_ration'. Did you mean 'keep_ratio'?"),
    ("model.selectors.0.blocks=[7]", "the backbone has 2 blocks, got [7]. Blocks count from 1."),
    ("model.selectors.0.blocks=3", "model.selectors.0.blocks: must be a list (a whole number each), got 3."),
    ("model.backbone.type=mmpretrain.Swin", "Did you mean 'mmpretrain.SwinTransformer'?"),
    ("model.backbone.type=mmpretrain.ViT", "Did you mean 'mmpretrain.VisionTransformer'?"),
    ("model.backbone.type=mmpretrain.BeiT", "Did you mean 'mmpretrain.BEiTViT'?"),
    ("model.backbone.drop_path_rate=2", "the rate of dropped paths must be in [0, 1), got 2"),
    ("model.tokenizer.type=WordPiece", "Did you mean 'WordPieceTokenizer'?"),
    ("model.tokenizer.max_length=1", "CorpusTokenizer.max_length: must be at least 3 ([CLS], a word, [SEP]), got 1."),
    ("model.heads.itc.feature_dim=-1", "model.heads.itc: ITCHead refuses its arguments: Trying to create tensor with"),
    ("model.heads.itc.temperature=0", "temperature in [0.001, 0.5], got 0.4, 0 and 0."),
    ("model.heads.cap.weight=2", "model.heads has no 'cap'. It has itc."),
    (
        "model.conditioning.mode=stric",
        "must be one of shared, masked, own_prefix, free_itc, strict, got 'stric'. Did you mean 'st",
    ),
    ("optim_wrapper.optimizer.lr=fast", "optim_wrapper.optimizer.lr: must be a number, got 'fast'."),
    ("optim_wrapper.optimizer.lr=.nan", "optim_wrapper.optimizer.lr: must be a number, got nan."),
    ("param_scheduler.0.start_factor=0", "param_scheduler.0.start_factor: must be above 0, at most 1, got 0."),
    ("work_dir=None", "--cfg-options work_dir: got Python's None; YAML writes null."),
    ("optim_wrapper.optimizer.lr=-1", "optim_wrapper.optimizer.lr: must be 0 or more, and finite, got -1."),
    ("optim_wrapper.optimizer.type=AdamX", "no optimizer is registered as 'AdamX'. Did you mean 'Adam'?"),
    ("optim_wrapper.clip_grad.max_norm=-1", "optim_wrapper.clip_grad.max_norm: must be above 0, got -1."),
    (
        "param_scheduler.0.type=Cosine",
        "no parameter scheduler is registered as 'Cosine'. Did you mean 'CosineRestartLR'",
    ),
    ("param_scheduler.0.end=-1", "param_scheduler.0.end: must be after begin, got -1 with begin 0."),
    ("train_cfg.max_epochs=ten", "train_cfg.max_epochs: must be a whole number, got 'ten'."),
    ("train_cfg.max_epochs=0", "train_cfg.max_epochs: must be at least 1, got 0."),
    ("val_evaluator.0.type=Recall", "no metric is registered as 'Recall'. Did you mean 'RetrievalRecall'?"),
    (
        "val_evaluator=null",
        "val_evaluator: missing although there is val_dataloader, val_cfg. Add it, or remove the others.",
    ),
    ("val_cfg.rerank_topk=-1", "VLPEvalLoop.rerank_topk: must not be negative, got -1. 0 leaves re-ranking out."),
    ("default_hooks.checkpoint.interval=0", "must be at least 1, or -1 for never, got 0."),
    ("default_hooks.logger.interval=0", "default_hooks.logger.interval: must be at least 1, got 0."),
    ("custom_hooks=[{type: EMAHook, momentum: 2}]", "custom_hooks.0.momentum: must be between 0 and 1, got 2."),
    ("custom_hooks=[{type: EarlyStopping}]", "Did you mean 'EarlyStoppingHook'?"),
    ("randomness.seed=-1", "randomness.seed: must be in 0 to 2^32 - 1, got -1."),
    (
        "load_from=nope.pth",
        "load_from: no such checkpoint, got nope.pth. Give the path of a .pth or .safetensors file.",
    ),
    ("load_from=pairs.csv", "pairs.csv: not a checkpoint. Give the path of a .pth or .safetensors file."),
    ("plugins=[nope]", "plugin 'nope' is not installed. Install the package that brings it, or correct the name."),
]
COMMANDS = [
    ("tain c.yaml", "bus-toolkit: no command of this name, got 'tain'. Did you mean 'train'?"),
    ("train nope.yaml", "nope.yaml: no such config file."),
    ("train bus/bus_scene_tiny", "Nearest names: bus/bus_scenes_tiny,"),
    ("train own.py", "this is a Python config of OpenMMLab, which can run any code; here a config is YAML"),
    ("train empty.yaml", "empty.yaml: the file is empty, got no key."),
    ("train list.yaml", "must hold a mapping, got list. Write `key: value` lines."),
    ("train tab.yaml", "tab.yaml:2:1: found character '\\t' that cannot start any token. Indent with spaces"),
    ("train base.yaml", "no such config file. It is in _base_ of "),
    ("train --cfg-options a=1 c.yaml", "--cfg-options takes all words that follow it: write the others before it"),
    (
        "train own_data/pairs_tiny --cfg-options model.decoder={type: PAD, num_queries: 4} seed=1",
        "got 4 words. Put the whole word in quotes: 'model.decoder={type: PAD, num_queries: 4}'.",
    ),
    ("train bus/bus_nocaps_base", "the config evaluates a checkpoint. Run: bus-toolkit test bus/bus_nocaps_base CHE"),
    (
        "train bus/bus_base_4m --cfg-options settings.text_rule=mplug",
        "pipeline.4.rule (and 7 other places): must be",
    ),
    ("train own_data/pairs_tiny --seed -1", "argument --seed: must be in 0 to 2^32 - 1, got -1"),
    ("train own_data/pairs_tiny --resume nope", "a run goes on from a .pth of its own work dir, got nope."),
    ("test own_data/pairs_tiny nope.pth", "CHECKPOINT: no such checkpoint, got nope.pth."),
    ("infer retrieve gone --images photos/*.png --text a", "neither a run folder nor a config gone. Give the work dir"),
    ("infer retrieve gone --images nothere/*.png --text a", "--images: no image there, got 'nothere/*.png'."),
    ("infer retrieve gone --images photos/*.png", "--text: retrieve needs at least one, got none."),
    ("verify own_data/pairs_tiny --cfg-options settings.pairs=gone.csv", "gone.csv: cannot be read: No such file"),
    ("describe parts ToMee", "no kind and no part of this name, got 'ToMee'. Did you mean 'ToMe'?"),
    ("new-plugin 1bad", "must be a lower-case module name such as my_selector, got '1bad'. Rename it."),
    ("new-plugin torch", "a module 'torch' is installed, which the plugin would hide. Choose another, such as my_t"),
    ("check-plugin nope", "plugin 'nope' is not installed."),
    ("convert-weights pairs.csv --to vit --out x.pth", "--out: must end in .safetensors, got x.pth."),
    ("plan-budget own_data/pairs_tiny --img-size 96 --match nope", "--match: must be CONFIG@N, a config and its pix"),
    ("benchmark own_data/pairs_tiny --batch-size 0", "argument --batch-size: must be 1 or more, got 0"),
    ("study pairs.csv", "pairs.csv: must hold a mapping, got str."),
    ("prepare coco nope", "coco: nope is no folder. Give the folder that COCO 2014 is in."),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    write_pairs(folder)
    files = {
        "own.py": "model = dict()",
        "empty.yaml": "",
        "list.yaml": "- 1",
        "tab.yaml": "model:\n\theads: 3\n",
        "base.yaml": "_base_: gone.yaml\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def typed(words, pairs, monkeypatch, capsys):
    """Return exit code and stderr of a command line that is typed in the folder of the pairs."""
    monkeypatch.chdir(pairs)
    monkeypatch.setattr(sys, "argv", ["bus-toolkit", *words])
    with pytest.raises(SystemExit) as caught:
        run_cli(lambda _: main(words))
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize("override, said", TRAINING, ids=[override for override, _ in TRAINING])
def test_a_wrong_setting_of_a_training_is_named(override, said, pairs, monkeypatch, capsys):
    words = ["train", CONFIG, "--work-dir", "run", "--cfg-options", *settings(pairs), override]
    code, shown = typed(words, pairs, monkeypatch, capsys)
    assert said in shown and "Traceback" not in shown
    assert code == MISTAKE


@pytest.mark.parametrize("line, said", COMMANDS, ids=[line for line, _ in COMMANDS])
def test_a_wrong_command_line_is_named(line, said, pairs, monkeypatch, capsys):
    code, shown = typed(shlex.split(line), pairs, monkeypatch, capsys)
    assert said in shown and "Traceback" not in shown
    assert code == MISTAKE
