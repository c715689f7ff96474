"""The command: its table, the file it writes, and what it refuses."""

import re
from pathlib import Path

import pytest
import yaml

from bus_toolkit.analysis.budget.report import HEADER, check_target, write_plan
from bus_toolkit.analysis.meta_macs import MacCounter, frame_of
from bus_toolkit.cli.plan_budget import COMMAND
from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.own_log import log_to_screen
from tests.analysis.toy import toy

ROOT = Path(__file__).parents[2]
SELECTORS = [
    {"type": "TSPS", "blocks": [1], "keep_ratio": 0.8},
    {"type": "ELIP", "blocks": [3, 4], "look_ahead": 1, "keep_ratio": [0.9, 0.6]},
]
DECODER = {"type": "PAD", "num_layers": 1, "num_heads": 4, "num_queries": 6}


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resize = {"type": "mmpretrain.Resize", "scale": [64, 64]}
    dataset = {"type": "RegionCaptionDataset", "dataset": {"type": "mmpretrain.COCORetrieval", "ann_file": "a.json"}}
    loader = {"batch_size": 2, "num_workers": 0, "sampler": {"type": "DefaultSampler"}}
    data = {
        "model": toy(selectors=SELECTORS, decoder=DECODER),
        "train_dataloader": {**loader, "dataset": {**dataset, "pipeline": [resize, {"type": "PackRegions"}]}},
        "val_dataloader": {**loader, "dataset": {**dataset, "pipeline": [{"type": "PackRegions"}]}},
    }
    path = tmp_path / "configs" / "toy.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(data))
    return path


def run(config, *flags, match="@64", unpruned=("model.selectors=[]", "model.decoder={type: Identity}")):
    match = ["--pass", "forward", "--match", f"{config}{match}", "--match-options", *unpruned]
    COMMAND.main([str(config), "--img-size", "80", *match, "--baselines", "none", *flags])


@pytest.mark.slow
def test_the_file_loads_to_the_cost_that_is_shown(config, tmp_path, capsys):
    out = tmp_path / "plans" / "toy_80.yaml"
    run(config, "--out", str(out), "--baselines", "all")
    shown = capsys.readouterr().out
    written = yaml.safe_load(out.read_text())
    assert set(written) == {"_base_", "model", "train_dataloader"} and written["_base_"] == "../configs/toy.yaml"
    assert set(written["model"]) == {"backbone", "selectors"}
    assert written["model"]["backbone"] == {"img_size": 80}

    planned = load_config(out)
    macs = MacCounter("forward", 8).macs(planned.model)
    reference = MacCounter("forward", 8).macs(toy(selectors=[]))
    assert macs <= reference
    assert f"{macs / 1e9:.3f} of {reference / 1e9:.3f} GMAC" in shown
    kept = int(re.search(r"keeps (\d+) of 100 patches", shown).group(1))
    first, elip = planned.model.selectors
    assert elip.keep_ratio[1] == kept / 100
    assert elip.keep_ratio[0] / elip.keep_ratio[1] == pytest.approx(1.5) and first.keep_ratio < 1
    assert f"Reference: {config} at 64 px, with model.selectors=[] model.decoder={{type: Identity}}." in out.read_text()
    for text in ("toy, own ratios", "toy, planned", "65 x4", "px", str(out)):
        assert text in shown
    assert "toy, Random, UniformGrid, GridPool" in shown and "toy, smaller image" in shown
    assert frame_of(planned.model).image_size == (80, 80)
    assert planned.train_dataloader.dataset.pipeline[0]["scale"] == [80, 80]
    assert "val_dataloader: nothing in it was recognised as giving 64 px" in shown


def test_a_smaller_image_is_planned_with_the_data_that_it_needs(config, tmp_path, capsys):
    flags = [
        "--smaller-image",
        "--pass",
        "forward",
        "--cfg-options",
        "model.selectors=[]",
        "model.decoder.type=Identity",
        "model.heads.ptm={type: PatchTextHead}",
    ]
    log_to_screen()
    COMMAND.main([str(config), *flags, "--match", f"{config}@64"])
    shown, logged = capsys.readouterr()
    assert logged.count("It takes no part in a training") == 1, "models are built for each count"
    planned = load_config("work_dirs/plan_budget/toy_smaller_image.yaml")
    height, width = frame_of(planned.model).image_size
    assert height * width < 64 * 64 and "below." in shown and "of 64 patches" in shown
    for loader in (planned.train_dataloader, planned.val_dataloader):
        assert loader.dataset.pipeline[-2] == {
            "type": "mmpretrain.Resize",
            "scale": [width, height],
            "interpolation": "area",
        }
    with pytest.raises(ConfigError, match="--num-queries scale: a smaller image keeps the summary as it is"):
        COMMAND.main([str(config), *flags, "--match", f"{config}@64", "--num-queries", "scale"])


@pytest.mark.slow
def test_overrides_and_a_scaled_summary_are_written_too(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [
        "model.selectors.1={type: Random, keep_ratio: 0.75}",
        "model.heads.itc.feature_dim=24",
        "train_dataloader.batch_size=3",
    ]
    run(config, "--num-queries", "scale", "--cfg-options", *options)
    planned = load_config("work_dirs/plan_budget/toy_80px.yaml")
    assert planned.model.heads.itc.feature_dim == 24 and planned.train_dataloader.batch_size == 3
    assert planned.model.selectors[1].type == "Random"
    tokens = MacCounter("forward", 8).tokens(planned.model)
    before = MacCounter("forward", 8).tokens(toy(selectors=SELECTORS[:1] + [dict(planned.model.selectors[1])]))
    assert planned.model.decoder.num_queries == tokens[-1] - 1
    assert before[-1] > tokens[-1]


def test_only_an_earlier_plan_is_replaced(config, tmp_path):
    mine, plan = tmp_path / "mine.yaml", tmp_path / "plan.yaml"
    mine.write_text("model: mine\n")
    for path in (mine, tmp_path, config):
        with pytest.raises(ConfigError, match=r"--out: .* is there and is no earlier plan"):
            run(config, "--out", str(path))
    plan.write_text(f"{HEADER}\n_base_: gone.yaml\n")
    check_target(plan)


def test_options_that_cannot_be_written_down_are_reported(config, tmp_path):
    planned = load_config(config).to_dict()
    del planned["train_dataloader"]["num_workers"]
    with pytest.raises(ConfigError, match=r"p\.yaml: does not load to the planned config"):
        write_plan(tmp_path / "p.yaml", str(config), planned, [], [])


@pytest.mark.slow
def test_a_reference_may_come_without_selectors(config, tmp_path):
    bare = tmp_path / "bare.yaml"
    model = toy()
    del model["selectors"], model["decoder"]
    bare.write_text(yaml.safe_dump({"model": model}))
    COMMAND.main([str(config), "--img-size", "80", "--match", f"{bare}@64", "--pass", "forward", "--baselines", "none"])
    assert Path("work_dirs/plan_budget/toy_80px.yaml").is_file()


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("", "--match: must be CONFIG@N, a config and its pixels, got '.*toy.yaml'. Write e.g."),
        ("@", "--match: must be pixels, a number or HEIGHTxWIDTH, got ''"),
        ("@big", "--match: must be pixels.*got 'big'. Write e.g. 384 or 64x256"),
        ("@0", "--match: must be pixels.*got '0'"),
        ("@50", r"patches 8 pixels apart do not tile an image of \(50, 50\) pixels"),
        ("x@64", "toy.yamlx: no such config file. Did you mean 'toy.yaml'?"),
    ],
)
def test_a_bad_reference_is_reported(config, match, message):
    with pytest.raises(ConfigError, match=message):
        run(config, match=match)


def test_bad_sizes_of_images_and_texts_are_reported(config):
    match = ["--match", f"{config}@64"]
    for size, message in (("80px", "--img-size: must be pixels"), ("84", r"do not tile an image of \(84, 84\)")):
        with pytest.raises(ConfigError, match=message):
            COMMAND.main([str(config), "--img-size", size, *match])
    with pytest.raises(ConfigError, match="--text-length: must be between 3 .* and 8, .*got 9"):
        run(config, "--text-length", "9")


def test_a_config_without_an_image_is_reported(config):
    writer = ROOT / "registry_configs" / "prior" / "reference_scenes_tiny.yaml"
    with pytest.raises(ConfigError, match="reference_scenes_tiny.yaml: model: there is no backbone to plan for"):
        run(writer)
    with pytest.raises(ConfigError, match="model.backbone"):
        COMMAND.main([str(config), "--img-size", "80", "--match", f"{writer}@64"])
