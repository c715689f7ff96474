"""The command: every kind of fault is named with its file, row and id; good data end with 0."""

import json
from pathlib import Path

import pytest
import yaml

from bus_toolkit.cli.verify import COMMAND
from bus_toolkit.data.verify.native_stderr import NativeStderr
from bus_toolkit.errors import ConfigError
from tests.data.odd_images import encode, photo
from tests.data.shards.tiny_shards import boxed, pairs, write_tar

ROOT = Path(__file__).parents[2]
JPEG = encode(photo(), "JPEG")


def write(path, content):
    path.write_text(json.dumps(content))


def config(folder, dataset):
    """Write a config that has data and a tokenizer, and no more."""
    loader = {"batch_size": 2, "num_workers": 0, "sampler": {"type": "DefaultSampler"}, "dataset": dataset}
    tokenizer = {"type": "WordPieceTokenizer", "max_length": 6}
    writer = {"type": "BertTextDecoder", "num_layers": 1, "text_dim": 32, "num_heads": 4}
    content = {"model": {"type": "CaptionLanguageModel", "tokenizer": tokenizer, "text_decoder": writer}}
    (folder / "run.yaml").write_text(yaml.safe_dump({**content, "train_dataloader": loader}))
    return str(folder / "run.yaml")


@pytest.fixture
def files(tmp_path):
    """Six pictures with a caption each, and an object each."""
    (tmp_path / "images").mkdir()
    images, captions, instances = [], [], []
    for n in range(6):
        (tmp_path / "images" / f"{n}.jpg").write_bytes(JPEG)
        images.append({"id": n, "coco_url": f"x/images/{n}.jpg", "width": 64, "height": 48})
        captions.append({"id": 100 + n, "image_id": n, "caption": f"picture {n}"})
        instances.append({"id": 200 + n, "image_id": n, "bbox": [4, 4, 8, 8]})
    write(tmp_path / "captions.json", {"images": images, "annotations": captions})
    write(tmp_path / "instances.json", {"images": images, "annotations": instances})
    write(tmp_path / "regions.json", {str(100 + n): [200 + n] for n in range(4)})
    return tmp_path


def coco_config(folder):
    dataset = {
        "type": "RegionCaptionDataset",
        "dataset": {"type": "mmpretrain.COCORetrieval", "data_root": str(folder), "ann_file": "captions.json"},
        "instances_file": str(folder / "instances.json"),
        "regions_file": str(folder / "regions.json"),
        "max_bad_samples": 0,
        "pipeline": [{"type": "LoadImage"}, {"type": "PackRegions"}],
    }
    return config(folder, dataset)


def change(path, part, place, **values):
    content = json.loads(path.read_text())
    content[part][place].update(values)
    write(path, content)


def test_good_data_are_counted_and_end_with_0(files, capsys):
    out = files / "deep" / "report.json"
    assert COMMAND.main([coco_config(files), "--json", str(out)]) == 0
    report = json.loads(out.read_text())["train_dataloader"]
    assert report["faults"] == [] and not report["stopped_early"]
    assert report["counts"] == {
        "images without a caption": 0,
        "rows": 6,
        "captions cut by the tokenizer": 0,
        "words": report["counts"]["words"],
        "unknown words ([UNK])": 0,
        "images": 6,
        "images with boxes": 4,
        "samples read through the pipeline": 6,
        "share of images with boxes": pytest.approx(4 / 6),
        "share of unknown words": 0,
    }
    shown = capsys.readouterr().out
    assert "66.7%" in shown and "faults" in shown


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_bad_row_is_named_beyond_the_limit_of_a_training(files, capsys, workers):
    middle = len(JPEG) * 3 // 4
    (files / "images" / "0.jpg").write_bytes(JPEG[:-300])
    (files / "images" / "1.jpg").write_bytes(JPEG[:middle] + b"\xff\xd9" + JPEG[middle + 2 :])
    (files / "images" / "2.jpg").unlink()
    change(files / "captions.json", "annotations", 3, caption=" ")
    change(files / "captions.json", "annotations", 4, caption="\u200b")
    change(files / "captions.json", "annotations", 5, caption="seven words are more than six tokens")
    assert COMMAND.main([coco_config(files), "--workers", workers, "--json", str(files / "r.json")]) == 1
    lines = capsys.readouterr().out.splitlines()
    images = files / "images"
    for expected in (
        f"image: row 0, text id 100, {images}/0.jpg: the image cannot be decoded: the JPEG is cut off",
        f"image: row 1, text id 101, {images}/1.jpg: the JPEG is damaged inside, the gap is filled: Corrupt JPEG data",
        f"image: row 2, text id 102, {images}/2.jpg: the image cannot be read: No such file",
        f"caption: row 3, text id 103, {images}/3.jpg: the caption is empty",
        f"caption: row 4, text id 104, {images}/4.jpg: the caption is empty, got '\\u200b'",
    ):
        assert any(line.startswith(expected) for line in lines), expected
    report = json.loads((files / "r.json").read_text())["train_dataloader"]
    assert report["faults_by_kind"] == {"caption": 2, "image": 3}
    assert report["counts"]["captions cut by the tokenizer"] == 1


def test_unknown_words_and_cut_texts_are_counted_named_and_above_a_share_faults(files, capsys):
    captions = (
        "a \U0001f436",
        "a \U0001f436 picture",
        "one two three four five",
        "six words of which two go",
        "a",
        "b",
    )
    for row, caption in enumerate(captions):
        change(files / "captions.json", "annotations", row, caption=caption)
    assert COMMAND.main([coco_config(files), "--json", str(files / "r.json")]) == 0
    report = json.loads((files / "r.json").read_text())["train_dataloader"]
    assert report["counts"]["unknown words ([UNK])"] == 2 and report["counts"]["captions cut by the tokenizer"] == 2
    assert "unknown words, the most frequent first: '\U0001f436'" in capsys.readouterr().out
    limits = ["--cfg-options", "max_unknown_words=0.1", "max_cut_texts=0.3"]
    assert COMMAND.main([coco_config(files), *limits]) == 1
    shown = capsys.readouterr().out
    assert "text: 13.3% of the words of captions (2 of 15) are not in the vocabulary of model.tokenizer" in shown
    assert "text: 33.3% of the captions (2 of 6) have more than the 6 tokens of model.tokenizer.max_length" in shown


def test_faults_of_the_files_are_all_named_although_the_data_set_cannot_be_built(files, capsys):
    content = json.loads((files / "captions.json").read_text())
    content["images"].append({"id": 1, "coco_url": "x/images/other.jpg"})
    content["images"].append({"id": 50, "coco_url": "x/images/50.jpg"})
    content["annotations"] += [{"id": 100, "image_id": 2, "caption": "a"}, {"id": 7, "image_id": 99, "caption": "a"}]
    write(files / "captions.json", content)
    change(files / "instances.json", "annotations", 0, bbox=[float("nan"), 0, 1, 1])
    change(files / "instances.json", "annotations", 1, bbox=[64, 0, 5, 5])
    change(files / "instances.json", "annotations", 2, id=203)
    change(files / "instances.json", "annotations", 4, image_id=77)
    change(files / "instances.json", "annotations", 5, bbox=[1, 2, 0, 5])
    assert COMMAND.main([coco_config(files)]) == 1
    shown = capsys.readouterr().out
    for expected in (
        "captions.json: images[6]: id 1 of x/images/other.jpg is that of x/images/1.jpg",
        "captions.json: annotations[6]: caption id 100 is that of annotations[0]",
        "captions.json: annotations[7]: image id 99 is none of the 7 images",
        "annotations[0]: instance 200 of image 0: a box must be finite",
        "annotations[1]: instance 201 of image 1: the box lies outside its image of 64 x 48 pixels, got [64, 0, 5, 5]",
        "annotations[3]: instance 203 of image 3: this id is that of annotations[2]",
        "annotations[4]: instance 204 of image 77: that is none of the 6 images",
        "data sets that cannot be built",
    ):
        assert expected in shown, expected
    assert "instance 205" not in shown, "a box without area is left out by all readers"
    counts = [line.split() for line in shown.splitlines() if line.strip().startswith("images without a caption")]
    assert counts[0][-1] == "1"


def test_a_defect_of_the_pipeline_is_reported_as_such(files, capsys):
    path = coco_config(files)
    content = yaml.safe_load(Path(path).read_text())
    content["train_dataloader"]["dataset"]["pipeline"][0] = {"type": "ColourJitter"}
    Path(path).write_text(yaml.safe_dump(content))
    assert COMMAND.main([path, "--max-errors", "2"]) == 1
    shown = capsys.readouterr().out
    assert "pipeline: row 0, text id 100" in shown and "ColourJitter needs 'img', got a sample with" in shown
    assert "row 2" not in shown and "2 or more" in shown and "Stopped after 2 faults" in shown


def test_a_sample_reads_so_many_images_and_all_rows(files):
    (files / "images" / "0.jpg").unlink()
    change(files / "captions.json", "annotations", 5, caption="")
    out = files / "r.json"
    assert COMMAND.main([coco_config(files), "--sample", "2", "--seed", "3", "--json", str(out)]) == 1
    report = json.loads(out.read_text())["train_dataloader"]
    assert report["counts"]["rows"] == 6 and report["counts"]["samples read through the pipeline"] <= 2
    assert report["faults_by_kind"]["caption"] == 1


def test_shards_are_read_around_what_is_broken(tmp_path, capsys):
    lonely = [("lonely.txt", b"a"), ("5.jpg", JPEG[:-100]), ("5.txt", b"a"), ("6.png", b""), ("6.txt", b" ")]
    write_tar(tmp_path / "a.tar", [*pairs([1, 2]), *boxed(3, [[90, 90, 4, 4]], image_id=8), *lonely])
    write_tar(tmp_path / "b.tar", pairs([1]))
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:520])
    write_tar(tmp_path / "c.tar", [*boxed(4, [[1, 1, 4, 4]], image_id=8), *boxed(9, [], image_id=2)])
    pipeline = [{"type": "LoadImageFromBytes"}, {"type": "PackRegions"}]
    dataset = {"type": "ShardDataset", "shards": f"{tmp_path}/*.tar", "pipeline": pipeline, "max_bad_samples": 0}
    assert COMMAND.main([config(tmp_path, dataset)]) == 1
    shown = capsys.readouterr().out
    for expected in (
        "a.tar::lonely.txt: no image of key 'lonely'",
        "b.tar: is cut off",
        "a.tar::0003.png: a box lies outside the 16 x 16 pixels",
        "a.tar::5.jpg: the image cannot be decoded",
        "a.tar::6.png: the caption is empty",
        "c.tar::0004.png: image id 8 is that of another picture too",
    ):
        assert expected in shown, expected


def test_shards_that_are_all_broken_are_named_once(tmp_path, capsys):
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    dataset = {"type": "ShardDataset", "shards": f"{tmp_path}/a.tar", "pipeline": [{"type": "LoadImageFromBytes"}]}
    assert COMMAND.main([config(tmp_path, dataset), "--json", str(tmp_path / "r.json")]) == 1
    report = json.loads((tmp_path / "r.json").read_text())["train_dataloader"]
    assert [fault["location"] for fault in report["faults"]] == [f"{tmp_path}/a.tar"]
    assert report["counts"] == {"data sets that cannot be built": 1}


def test_data_sets_inside_others_are_read_row_by_row(files, capsys):
    content = yaml.safe_load(Path(coco_config(files)).read_text())
    inner = content["train_dataloader"]["dataset"]
    path = config(files, {"type": "CaptionedImages", "dataset": inner})
    assert COMMAND.main([path]) == 0
    (files / "images" / "3.jpg").write_bytes(b"")
    change(files / "captions.json", "annotations", 1, caption="")
    assert COMMAND.main([path]) == 1
    shown = capsys.readouterr().out
    assert "row 3, text id 103" in shown and "3.jpg: the image has 0 bytes" in shown
    assert "row 1, text id 101" in shown and "1.jpg: the caption is empty" in shown


def test_the_sources_of_a_mixture_are_read_row_by_row(files, capsys):
    inner = yaml.safe_load(Path(coco_config(files)).read_text())["train_dataloader"]["dataset"]
    sources = {"captions": {"dataset": inner}, "boxes": {"dataset": inner, "boxed_only": True}}
    path = config(files, {"type": "MixedSources", "sources": sources})
    assert COMMAND.main([path, "--json", str(files / "report.json")]) == 0
    counts = json.loads((files / "report.json").read_text())["train_dataloader"]["counts"]
    assert counts["rows"] == counts["samples read through the pipeline"] == 12
    (files / "images" / "3.jpg").write_bytes(b"")
    assert COMMAND.main([path]) == 1
    assert capsys.readouterr().out.count("3.jpg: the image has 0 bytes") == 2


def test_what_cannot_be_verified_is_reported(files):
    path = coco_config(files)
    with pytest.raises(ConfigError, match=r"val_dataloader.dataset: .*run.yaml has none. Choose another --loader"):
        COMMAND.main([path, "--loader", "val_dataloader"])
    with pytest.raises(ConfigError, match="--workers: must be 0 or more, got -1"):
        COMMAND.main([path, "--workers", "-1"])


def test_what_a_library_writes_is_caught_and_the_descriptor_comes_back(capfd):
    import os

    caught = NativeStderr()
    for number in (1, 2):
        with caught:
            os.write(2, b"from C %d\n" % number)
        assert caught.text == f"from C {number}\n"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_data_of_a_config_without_a_model_are_read(files, capsys):
    assert COMMAND.main([coco_config(files), "--cfg-options", "model=null"]) == 0
    assert "unknown words" not in capsys.readouterr().out
