"""The made-up files are read whole, with and without tables; times and memory are only reported."""

import json

from bus_toolkit.analysis.benchmark import annotations
from bus_toolkit.analysis.benchmark.made_up_captions import write_captions
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset


def test_made_up_captions_name_a_box_each(tmp_path):
    files = write_captions(tmp_path, 7, per_image=5)
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": "", "ann_file": str(files.captions)}
    data = RegionCaptionDataset(reader, instances_file=str(files.instances), regions_file=str(files.regions))
    assert len(data) == len(data.boxed_indices) == 7
    assert [data.get_data_info(row)["named"].tolist() for row in (0, 1, 6)] == [[1, 0], [0, 1], [1, 0]]
    assert len(json.loads(files.captions.read_text())["images"]) == 2


class Kept(list):
    send = list.append


def test_a_start_is_measured_as_far_as_the_workers(tmp_path):
    files, out = write_captions(tmp_path, 500), Kept()
    annotations._measure(out, files, str(tmp_path / "tables"), 1, "fork", 500)
    (measured,) = out
    assert min(measured.built, measured.core, measured.first, measured.own) > 0 and len(measured.workers) == 1
    assert len(list((tmp_path / "tables").iterdir())) == 2
