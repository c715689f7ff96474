"""The typical mistakes with data of one's own: each ends in one clear line."""

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.model import ImgDataPreprocessor
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.data.datasets.bad_samples import LoadingError
from bus_toolkit.engine import RunOptions, build_runner, train
from bus_toolkit.engine.loader_checks import CheckedCollate, check_loader, image_size_of
from bus_toolkit.errors import BusError, ConfigError, DataError
from bus_toolkit.testing.model import tiny_model
from tests.engine.own_pairs import CONFIG, settings, write_pairs
from tests.engine.tiny_run import tiny_config
from tests.small_run import small

LOAD = "{type: LoadImage}"
RESIZE = "{type: mmpretrain.Resize, scale: 16}"
PACK = "{type: PackRegions}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


def run(folder, *more):
    train(CONFIG, settings(folder, *more), RunOptions(work_dir=str(folder / "run"), no_validate=True))


def pipeline(*steps):
    return f"train_dataloader.dataset.pipeline=[{', '.join(steps)}]"


@pytest.mark.parametrize(
    "change, message",
    [
        ("train_dataloader.batch_size=9", r"train_dataloader.batch_size: is larger than the data and drop_last leaves"),
        (pipeline(LOAD, PACK), r"train_dataloader.dataset.pipeline: images must have the 16 px of .*, got 20x24 px \("),
        (pipeline(LOAD, RESIZE), r"train_dataloader.dataset.pipeline: must end by packing, got samples with .*img"),
        (pipeline(RESIZE, PACK), r"train_dataloader.dataset.pipeline: must start by loading, .* {type: LoadImage} at"),
        (
            pipeline(PACK),
            r"train_dataloader.dataset.pipeline: must start by loading, .* {type: LoadImage} at its start",
        ),
        (pipeline("{type: ColourJitter}", PACK), r"ImageTextPairs.pipeline: ColourJitter needs 'img', .*LoadImage"),
        (
            pipeline("{type: LoadImageFromBytes}", RESIZE, PACK),
            r"ImageTextPairs.pipeline: LoadImageFromBytes needs 'img_bytes', .*gives paths: use {type: LoadImage}",
        ),
        (
            "train_dataloader.dataset.ann_file=none.csv",
            r"train_dataloader: ImageTextPairs.ann_file: none.csv: cannot be",
        ),
        ("train_dataloader.dataset.image_key=img", r"train_dataloader: ImageTextPairs.ann_file: .*has no 'img', got"),
        ("train_dataloader.dataset.img_dir=phots", r"train_dataloader: ImageTextPairs.img_dir: there is no folder"),
        (
            "train_dataloader.collate_fn.type=pseudo_collate",
            r"train_dataloader.collate_fn: must stack the images, got ps",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(folder, change, message):
    with pytest.raises(DataError, match=message) as caught:
        run(folder, change, "train_dataloader.dataset.max_bad_samples=1")
    assert "\n" not in str(caught.value)


def test_a_batch_larger_than_the_share_of_a_process_names_their_number(monkeypatch):
    monkeypatch.setattr("bus_toolkit.engine.loader_checks.world_size", lambda: 2)
    loader = DataLoader(range(3), batch_size=4, drop_last=True)
    with pytest.raises(DataError, match=r"got 4 for 3 samples, which 2 processes share\. Lower it"):
        check_loader(loader, "train_dataloader", nn.Linear(1, 1))


def test_a_worker_process_says_the_same(folder):
    with pytest.raises(DataError, match=r"^train_dataloader.dataset.pipeline: must end by packing, got ") as caught:
        run(folder, pipeline(LOAD, RESIZE), "train_dataloader.num_workers=1")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_batch_larger_than_the_data_is_fine_where_nothing_is_left_out(folder):
    run(folder, "train_dataloader.batch_size=9", "train_dataloader.drop_last=false")


@pytest.mark.parametrize("loader", ["train", "val"])
def test_another_image_size_than_the_backbones_is_named_before_the_first_step(folder, loader):
    resize = f"{loader}_dataloader.dataset.pipeline=[{LOAD}, {{type: mmpretrain.Resize, scale: [24, 16]}}, {PACK}]"
    message = (
        rf"{loader}_dataloader.dataset.pipeline.1.scale: images leave this pipeline with 16x24 px, model.backbone "
        "takes 16 px. Set both to one size, a multiple of the patch size."
    )
    with pytest.raises(ConfigError, match=message):
        train(CONFIG, settings(folder, resize), RunOptions(work_dir=str(folder / "run")))


def test_scenes_of_another_size_than_the_backbones_are_named(folder):
    with pytest.raises(BusError, match=r"train_dataloader.dataset.scenes: images leave this pipeline with 64 px"):
        train(
            "bus/bus_scenes_tiny",
            ["model.backbone.img_size=128"],
            RunOptions(work_dir=str(folder / "run"), no_validate=True),
        )


def test_an_image_size_that_patches_do_not_tile_is_named(folder):
    with pytest.raises(BusError, match=r"multiple of patch_size|do not tile an image"):
        run(folder, "settings.img_size=60")


def test_an_empty_data_set_is_named(folder):
    (folder / "empty.json").write_text('{"images": [], "annotations": []}')
    data = f"{{type: mmpretrain.COCORetrieval, data_root: {folder}, ann_file: empty.json}}"
    change = f"train_dataloader.dataset={{_delete_: true, type: RegionCaptionDataset, dataset: {data}, pipeline: []}}"
    with pytest.raises(DataError, match=r"train_dataloader.*(empty|no )"):
        run(folder, change)


def test_each_of_several_images_of_a_text_must_have_the_size_of_the_backbone():
    def images(*sizes):
        return {"inputs": [torch.zeros(3, *size) for size in sizes], "data_samples": None}

    collate = CheckedCollate(default_collate, "train_dataloader", (16, 16))
    collate.collate = len
    assert collate([images((16, 16), (16, 16))]) == 1
    with pytest.raises(LoadingError, match="must have the 16 px of model.backbone, got 16x8 px"):
        collate([images((16, 16), (16, 8))])


def labelled(label, **fields):
    sample = DataSample(text_id=7, img_path="a.png", gt_label=torch.tensor([label]), **fields)
    return {"inputs": torch.zeros(3, 16, 16), "data_samples": sample}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (2, r"text id 7, a.png: model.heads.cls: with num_classes 2, labels .* 0 to 1, got the label 2. Set num_cl"),
        (-1, r"text id 7, a.png: model.heads.cls: with num_classes 2.* got the label -1. Correct the data"),
        (0.5, r"text id 7, a.png: gt_label: a class label must be one whole number, got \[0.5\]"),
    ],
)
def test_a_label_that_a_head_does_not_know_is_named_with_its_sample(label, message):
    collate = CheckedCollate(len, "train_dataloader", None, {"cls": 2})
    assert collate([labelled(1)]) == 1
    with pytest.raises(LoadingError, match=rf"^train_dataloader.dataset: {message}"):
        collate([labelled(0), labelled(label)])


def test_labels_of_a_source_for_other_heads_are_not_looked_at():
    collate = CheckedCollate(len, "train_dataloader", None, {"cls": 2})
    assert collate([labelled(5, objectives=("itc",))]) == 1


def test_too_few_classes_for_the_data_are_named_in_a_training(tmp_path):
    options = RunOptions(work_dir=str(tmp_path / "run"), no_validate=True)
    message = r"^train_dataloader.dataset: .*model.heads.classification: with num_classes 2, .* got the label 2"
    with pytest.raises(DataError, match=message):
        overrides = small(tmp_path / "scenes", "load_from=null", "model.heads.classification.num_classes=2")
        train("bus/bus_entailment_scenes_small", overrides, options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 100, "drop_last": True}, r"train_dataloader.batch_size: is larger than the data and drop_last"),
        ({"length": 0}, r"train_dataloader.dataset: is empty"),
        ({"length": 0, "sampler": "InfiniteSampler"}, r"train_dataloader.dataset: is empty"),
    ],
)
@pytest.mark.parametrize("loop", ["epochs", "iterations"])
def test_every_loop_names_data_of_no_batch(tmp_path, loop, changes, message):
    with pytest.raises(BusError, match=message):
        tiny_run(tmp_path, loop, **changes).train()


def tiny_run(tmp_path, loop, *, length=8, sampler="DefaultSampler", **loader):
    config = tiny_config(tmp_path)
    config.train_dataloader |= loader
    config.train_dataloader.dataset.length = length
    config.train_dataloader.sampler.type = sampler
    if loop == "iterations":
        config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 3, "val_interval": 1000}
    return build_runner(config)


def test_batches_larger_than_the_data_come_from_an_endless_sampler(tmp_path):
    runner = tiny_run(tmp_path, "iterations", batch_size=16, drop_last=True, sampler="InfiniteSampler")
    runner.train()
    assert runner.model.progress == pytest.approx([0.0, 0.0, 2.0, 4.0, 6.0])  # 16 of 8 points a batch


def test_an_endless_sampler_is_refused_where_epochs_must_end(tmp_path):
    with pytest.raises(ConfigError, match=r"train_dataloader.sampler: must end for a loop that goes by epochs"):
        tiny_run(tmp_path, "epochs", sampler="InfiniteSampler").train()
    config = tiny_config(tmp_path)
    config.val_dataloader.sampler.type = "InfiniteSampler"
    with pytest.raises(ConfigError, match=r"val_dataloader.sampler: must end for a loop that goes by epochs"):
        build_runner(config).val()


def test_the_largest_of_images_that_are_padded_must_have_the_size_of_the_backbone():
    def batch(*sizes):
        return [{"inputs": torch.zeros(3, *size), "data_samples": None} for size in sizes]

    collate = CheckedCollate(pseudo_collate, "val_dataloader", (16, 16))
    assert len(collate(batch((16, 8), (8, 16)))["inputs"]) == 2
    with pytest.raises(LoadingError, match=r"^val_dataloader.dataset.*: the largest image .* 16 px .*, got 12x8 px"):
        collate(batch((12, 8), (8, 8)))


def test_a_backbone_that_takes_any_size_is_not_held_to_one():
    timm = pytest.importorskip("timm")
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "num_classes": 0}
    for dynamic, size in ((False, (32, 32)), (True, None)):
        vit = timm.models.VisionTransformer(**sizes, dynamic_img_size=dynamic)
        model = nn.ModuleDict({"backbone": TokenReducingBackbone(vit)})
        assert image_size_of(model) == size


def test_a_data_preprocessor_of_a_plugin_may_resize():
    class Resizing(ImgDataPreprocessor):
        pass

    model = tiny_model({"itc": {"type": "ITCHead"}})
    assert image_size_of(model) == (32, 32)
    model.data_preprocessor = Resizing()
    assert image_size_of(model) is None


class Rows(list):
    """Rows of a data set that says which of them have boxes."""

    boxed_indices: list[int] = []


def test_a_selector_that_reads_boxes_refuses_data_without_any():
    oracle = {"type": "OracleBoxes", "blocks": [1], "in_study": True}
    model = tiny_model({"itm": {"type": "ITMHead"}}, selectors=[oracle])
    bare, boxed = Rows([0, 1]), Rows([0, 1])
    boxed.boxed_indices = [1]
    for data in (bare, [0, 1], ConcatDataset([bare, bare]), Subset(bare, [0])):
        with pytest.raises(DataError, match=r"train_dataloader.dataset: must have boxes, which OracleBoxesSelector in"):
            check_loader(DataLoader(data), "train_dataloader", model)
    for data in (boxed, ConcatDataset([bare, boxed]), Subset(boxed, [0])):
        check_loader(DataLoader(data), "train_dataloader", model)
    check_loader(DataLoader(bare), "train_dataloader", tiny_model({"itm": {"type": "ITMHead"}}))
