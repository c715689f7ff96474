from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread

from bus_toolkit.cli.browse import COMMAND
from bus_toolkit.config import load_config
from bus_toolkit.data.browse import patch_labels_of
from bus_toolkit.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return str(tmp_path_factory.mktemp("scenes"))


def flags(scenes, *more):
    options = [f"train_dataloader.dataset.data_root={scenes}", "train_dataloader.dataset.num_images=4"]
    return [CONFIG, *more, "--cfg-options", *options]


def test_writes_a_sheet_and_a_file_a_sample(scenes, tmp_path, capsys):
    COMMAND.main(flags(scenes, "--num", "3", "--out", str(tmp_path / "a")))
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert len(files) == 4 and files[-1] == "samples.png" and all(f.startswith("sample_0") for f in files[:-1])
    assert "samples.png and 3 single files beside it" in capsys.readouterr().out
    assert imread(tmp_path / "a" / "samples.png").shape[1] > 1000


def test_the_same_seed_draws_the_same(scenes, tmp_path):
    """Flips included."""
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        COMMAND.main(flags(scenes, "--num", "4", "--seed", seed, "--out", str(tmp_path / name)))
    sheets = [(tmp_path / name / "samples.png").read_bytes() for name in "abc"]
    assert sheets[0] == sheets[1] != sheets[2]


def test_counts_what_each_transform_changes(scenes, tmp_path, capsys):
    crop = "{type: RandomResizedCropWithBoxes, scale: 64, crop_ratio_range: [0.02, 0.1]}"
    pipeline = f"[{{type: LoadImage}}, {crop}, {{type: RandomFlipWithText, prob: 1.0}}, {{type: PackRegions}}]"
    more = [f"train_dataloader.dataset.pipeline={pipeline}", "train_dataloader.dataset.box_fraction=0.5"]
    # The scenes are fewer, and are read again with other random numbers.
    COMMAND.main([*flags(scenes, "--num", "1", "--count", "200", "--out", str(tmp_path)), *more])
    table = capsys.readouterr().out.split("named lost\n")[1]
    counts = {line.split()[0]: list(map(int, line.split()[1:])) for line in table.splitlines()}
    boxed = counts["LoadImage"][2]
    assert list(counts) == ["LoadImage", "RandomResizedCropWithBoxes", "RandomFlipWithText", "PackRegions"]
    assert 0 < boxed < 200 and counts["LoadImage"] == [200, 0, boxed, 0, 0, 0]
    assert counts["RandomResizedCropWithBoxes"][:5] == [200, 200, boxed, boxed, 0]
    assert counts["RandomFlipWithText"][:4] == [200, 200, boxed, boxed] and counts["RandomFlipWithText"][5] == 0
    assert sum(row[5] for row in counts.values()) <= boxed


def test_region_rows_show_descriptions(scenes, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "bus_toolkit.data.browse.draw_samples", lambda pictures, path, **_: drawn.append(pictures) or path
    )
    COMMAND.main(flags(scenes, "--num", "2", "--region-rows", "--out", str(tmp_path)))
    headings = [[heading for heading, _ in picture.texts] for picture in drawn[0]]
    assert headings == [["", "description"]] * 2
    assert all(picture.labels.shape == (8, 8) and picture.labels.any() for picture in drawn[0])
    COMMAND.main(flags(scenes, "--num", "2", "--patch-size", "16", "--out", str(tmp_path)))
    assert drawn[3][0].labels.shape == (4, 4) and drawn[3][0].texts[1][0] == "caption"


def test_patch_size_and_overlap_are_those_of_the_head():
    options = ["model.heads.ptm.overlap=0.25"]
    assert patch_labels_of(load_config(CONFIG, options)) == (8, 0.25)
    config = yaml.safe_load((ROOT / "registry_configs" / "_base_" / "data_scenes.yaml").read_text())
    assert patch_labels_of(config) == (None, 0.0)


def test_what_cannot_be_drawn_is_reported(scenes, tmp_path):
    with pytest.raises(ConfigError, match=r"test_dataloader.dataset: .*bus_scenes_tiny.yaml has none. Choose another"):
        COMMAND.main([*flags(scenes, "--loader", "test_dataloader"), "test_dataloader=null"])
    with pytest.raises(DataError, match="no image of the data set has boxes .* Leave --region-rows out"):
        COMMAND.main([*flags(scenes, "--region-rows"), "train_dataloader.dataset.box_fraction=0.0"])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be written: .*Choose a folder that you may"):
        COMMAND.main(flags(scenes, "--num", "1", "--out", str(tmp_path / "file")))
