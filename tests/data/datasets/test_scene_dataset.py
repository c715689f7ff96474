import pytest
from mmengine.runner import Runner

from bus_toolkit.data.datasets.scene_dataset import SceneDataset
from bus_toolkit.errors import ConfigError, DataError

PIPELINE = [
    {"type": "mmpretrain.LoadImageFromFile"},
    {"type": "bus_toolkit.RandomFlipWithText"},
    {"type": "bus_toolkit.PackRegions"},
]


def test_writes_itself_on_first_use_and_reads_back(tmp_path):
    data = SceneDataset(str(tmp_path / "scenes"), "test", 5, pipeline=PIPELINE)
    assert len(data) == len(data.boxed_indices) == 5
    sample = data[4]["data_samples"]
    assert data[4]["inputs"].shape == (3, 64, 64)
    assert sample.named.sum() == 2 and sample.gt_boxes.shape == (len(sample.named), 4)
    assert len(sample.text.split()) == 9


def test_training_scenes_have_several_captions(tmp_path):
    data = SceneDataset(str(tmp_path), "train", 5, scenes={"num_objects": [4, 4]})
    assert len(data) > 5
    assert len({data.get_data_info(i)["text"] for i in range(len(data))}) == len(data)


def test_runs_in_a_data_loader_with_a_region_micro_batch(tmp_path):
    loader = Runner.build_dataloader(
        {
            "batch_size": 4,
            "num_workers": 1,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "batch_sampler": {"type": "bus_toolkit.RegionBatchSampler", "region_batch_size": 2},
            "collate_fn": {"type": "default_collate"},
            "dataset": {
                "type": "bus_toolkit.SceneDataset",
                "data_root": str(tmp_path),
                "split": "train",
                "num_images": 20,
                "box_fraction": 0.5,
                "pipeline": PIPELINE,
            },
        },
        seed=0,
    )
    batch = next(iter(loader))
    assert batch["inputs"].shape == (6, 3, 64, 64)
    flags = [sample.get("region_only", False) for sample in batch["data_samples"]]
    assert flags == [False] * 4 + [True] * 2
    assert all("gt_boxes" in sample for sample in batch["data_samples"][4:])


def test_only_the_first_process_of_a_machine_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(DataError, match="captions_val.json"):
        SceneDataset(str(tmp_path), "val", 2)
    assert not list(tmp_path.iterdir())


def test_refuses_unknown_scene_settings(tmp_path):
    with pytest.raises(ConfigError, match="scenes: no setting named 'shape'. Did you mean 'shapes'?"):
        SceneDataset(str(tmp_path), "val", 2, scenes={"shape": ["circle"]})
