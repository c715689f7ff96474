"""Each preparation on a miniature: what it writes is read by our own readers."""

import json
from pathlib import Path

import pytest

from bus_toolkit.cli.prepare import COMMAND, DATA_SETS
from bus_toolkit.data import NLVRDataset, QuestionAnswers, ReferringExpressions, RegionCaptionDataset, ShardDataset
from bus_toolkit.data.datasets.statements import Statements
from bus_toolkit.data.preparation.prepared_folder import read_manifest
from bus_toolkit.errors import DataError
from tests.data.preparation import miniatures

ANY_COUNT = "--any-count"


def prepare(name, tmp_path, *flags):
    root = getattr(miniatures, name)(tmp_path / "raw")
    COMMAND.main([name, str(root), "--out", str(tmp_path / "out"), ANY_COUNT, *flags])
    return tmp_path / "out", read_manifest(tmp_path / "out")["counts"]


def captions(out, **files):
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(out), "ann_file": "captions_train.json"}
    data = RegionCaptionDataset(reader, **{key: str(out / name) for key, name in files.items()})
    return data, [data.get_data_info(row) for row in range(len(data))]


@pytest.mark.parametrize("name", DATA_SETS)
def test_it_is_converted_once(name, tmp_path, capsys):
    out, _ = prepare(name, tmp_path)
    assert f"{out}: written" in capsys.readouterr().out
    before = {path: path.lstat().st_mtime_ns for path in out.rglob("*")}
    COMMAND.main([name, str(tmp_path / "raw"), "--out", str(out), ANY_COUNT])
    assert f"{out}: is whole, nothing to do" in capsys.readouterr().out
    assert {path: path.lstat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("name", DATA_SETS)
def test_an_empty_folder_is_reported_with_what_to_get_from_where(name, tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="Get (it|the folder).*https?://"):
        COMMAND.main([name, str(tmp_path / "raw"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name not in ("cc3m", "sbu")])  # images are in shards
def test_a_missing_image_is_reported_unless_images_are_skipped(name, tmp_path):
    root = getattr(miniatures, name)(tmp_path / "raw")
    image = next(path for path in sorted(root.rglob("*")) if path.suffix in (".jpg", ".png"))
    image.unlink()
    with pytest.raises(DataError, match=f"{image.name}.*--skip-images"):
        COMMAND.main([name, str(root), "--out", str(tmp_path / "out"), ANY_COUNT])
    assert not (tmp_path / "out").exists()
    COMMAND.main([name, str(root), "--out", str(tmp_path / "out"), ANY_COUNT, "--skip-images"])


# What cuts a file in the middle; it is never taken for a whole one.
TEXTS = [
    ("coco", "dataset_coco.json"),
    ("coco", "annotations/instances_train2014.json"),
    ("flickr30k", "dataset_flickr30k.json"),
    ("vqa_v2", "v2_mscoco_val2014_annotations.json"),
    ("visual_genome", "region_descriptions.json"),
    ("refcoco", "refcoco/refs(unc).p"),
    ("refcoco", "refcoco/instances.json"),
    ("nlvr2", "data/dev.json"),
    ("gqa", "val_balanced_questions.json"),
    ("snli_ve", "snli_ve_test.jsonl"),
    ("nlvr", "dev/dev.json"),
]


@pytest.mark.parametrize("name, file", TEXTS)
@pytest.mark.parametrize("other", [False, True])
def test_a_file_that_is_cut_off_or_of_another_form_leaves_nothing(name, file, other, tmp_path):
    root = getattr(miniatures, name)(tmp_path / "raw")
    content = (root / file).read_bytes()
    (root / file).write_bytes(b'[{"other": 1}]' if other else content[: len(content) // 3])
    with pytest.raises(DataError, match="Fetch"):
        COMMAND.main([name, str(root), "--out", str(tmp_path / "out"), ANY_COUNT])
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_coco_in_karpathys_split_with_boxes_of_classes(tmp_path):
    out, counts = prepare("coco", tmp_path)
    data, infos = captions(out, descriptions_file="instances_train.json")
    assert [info["text"] for info in infos] == ["train 0", "train 1", "restval 0", "restval 1"]
    assert all(Path(info["img_path"]).is_file() for info in infos)
    assert data.get_region_info(0)["text"] == "This is a dog." and counts["train: instances"] == 2
    assert "segmentation" not in (out / "instances_train.json").read_text()
    assert [counts[f"{split}: captions"] for split in ("train", "val", "test")] == [4, 2, 2]


def test_coco_in_the_official_split(tmp_path):
    out, counts = prepare("coco", tmp_path, "--split", "official")
    assert [info["text"] for info in captions(out)[1]] == ["a dog"] * 3
    assert counts["train: captions"] == 3 and counts["val: captions"] == 1


def test_flickr30k_has_its_images_below_the_result(tmp_path):
    infos = captions(prepare("flickr30k", tmp_path)[0])[1]
    assert len(infos) == 4 and all(Path(info["img_path"]).is_file() for info in infos)


def test_vqa_v2_is_read_as_it_is_and_frequent_answers_are_listed(tmp_path):
    out, counts = prepare("vqa_v2", tmp_path)
    template = str(out / "train2014" / "COCO_train2014_{image_id:012d}.jpg")
    data = QuestionAnswers(str(out / "questions_train.json"), template, annotation_file=str(out / "answers_train.json"))
    assert len(data) == 10 and Path(data.get_data_info(0)["img_path"]).is_file()
    assert (out / "answers.txt").read_text() == "yes\n", "18 questions have it; 2 have no"
    assert counts["train: answers"] == 100


def test_vqa_v2_of_two_splits_does_not_pass(tmp_path):
    root = miniatures.vqa_v2(tmp_path / "raw")
    (root / "v2_mscoco_val2014_annotations.json").write_bytes(
        (root / "v2_mscoco_train2014_annotations.json").read_bytes()
    )
    with pytest.raises(DataError, match="not of the same questions and images"):
        COMMAND.main(["vqa_v2", str(root), "--out", str(tmp_path / "out"), ANY_COUNT])


def test_regions_of_visual_genome_are_captions_with_their_boxes(tmp_path):
    out, counts = prepare("visual_genome", tmp_path)
    _, infos = captions(out, instances_file="instances_train.json", regions_file="regions_train.json")
    assert [info["text"] for info in infos] == ["held out", "a red ball"]
    # The second box is cut at the right and upper border; one without words and one outside are left out.
    assert infos[1]["gt_bboxes"].tolist() == [[5, 0, 25, 10], [90, 0, 100, 6]] and infos[1]["named"].all()
    assert Path(infos[0]["img_path"]).is_file() and Path(infos[1]["img_path"]).parent.name == "VG_100K"
    assert counts["regions in all"] == 5 and counts["regions without words"] == 1
    data = QuestionAnswers(str(out / "question_answers.json"), str(out / "images" / "{image_id}.jpg"))
    assert len(data) == 1 and Path(data.get_data_info(0)["img_path"]).is_file()


def test_shards_of_img2dataset_are_linked_counted_and_indexed(tmp_path):
    out, counts = prepare("cc3m", tmp_path)
    assert counts == {"train: pairs": 4, "train: members that are no sample": 0}, "the validation is left out"
    data = ShardDataset(f"{out}/train-*.tar", with_boxes=False)
    assert [data.get_data_info(row)["text"] for row in range(4)] == ["square 0", "square 1"] * 2
    assert len(list(out.glob("train-*.tar.index.npz"))) == 2


def test_more_shards_are_taken_in_and_broken_ones_leave_nothing(tmp_path, capsys):
    out, _ = prepare("sbu", tmp_path)
    shard = tmp_path / "raw" / "00001.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(DataError, match=r"raw/00001.tar: the tar cannot be read after 1 members"):
        COMMAND.main(["sbu", str(tmp_path / "raw"), "--out", str(tmp_path / "again"), ANY_COUNT])
    shard.unlink()
    COMMAND.main(["sbu", str(tmp_path / "raw"), "--out", str(out), ANY_COUNT, "--force"])
    assert read_manifest(out)["counts"]["train: pairs"] == 2


def test_images_of_cocos_test_are_left_out_of_visual_genome(tmp_path):
    root = miniatures.visual_genome(tmp_path / "raw")
    miniatures.write(root, {"dataset_coco.json": miniatures.karpathy(str, "")})
    COMMAND.main(["visual_genome", str(root), "--out", str(tmp_path / "out"), ANY_COUNT])
    assert [info["text"] for info in captions(tmp_path / "out")[1]] == ["a red ball"]


@pytest.mark.parametrize("which", ["refcoco", "refcoco+", "refcocog"])
def test_references_are_read_after_conversion(which, tmp_path):
    out, counts = prepare("refcoco", tmp_path, "--which", which)
    data = ReferringExpressions(str(out / "refs_train.json"), str(out / "instances.json"), str(out / "train2014"))
    info = data.get_data_info(1)
    assert (
        len(data) == 2 and info["text"] == "left dog" and info["named"].tolist() == [False, True, False, False, False]
    )
    assert Path(info["img_path"]).is_file() and counts["empty sentences, left out"] == 1
    assert json.loads((out / "refs_val.json").read_text())[0] == {
        "ref_id": 2, "image_id": 7, "ann_id": 2, "split": "val", "sentences": [{"sent_id": 4, "sent": "left dog"}],
    }  # fmt: skip


def test_a_split_that_a_set_does_not_have_is_reported(tmp_path):
    with pytest.raises(DataError, match="--split-by of refcoco[+] must be one of unc, got umd"):
        COMMAND.main(["refcoco", str(tmp_path), "--which", "refcoco+", "--split-by", "umd"])


def test_statements_of_nlvr2_find_their_images(tmp_path):
    out, counts = prepare("nlvr2", tmp_path)
    for split in ("train", "dev"):
        data = Statements(str(out / f"{split}.jsonl"), str(out / "images"))
        infos = [data.get_data_info(row) for row in range(2)]
        assert [info["gt_label"] for info in infos] == [1, 0]
        assert all(Path(path).is_file() for path in infos[0]["img_path"])
    assert counts["train: true"] == 1


def test_gqa_snli_ve_and_nlvr_are_read(tmp_path):
    out, _ = prepare("gqa", tmp_path / "gqa")
    template = str(out / "images" / "{image_id}.jpg")
    question = QuestionAnswers(str(out / "questions_train.json"), template).get_data_info(0)
    assert question["question_type"] == "verify" and "semantic" not in (out / "questions_train.json").read_text()
    out, _ = prepare("snli_ve", tmp_path / "ve")
    pair = Statements(str(out / "snli_ve_dev.jsonl"), str(out / "flickr30k-images")).get_data_info(0)
    assert pair["gt_label"] == 1 and Path(pair["img_path"]).is_file()
    out, counts = prepare("nlvr", tmp_path / "nlvr")
    example = NLVRDataset(str(out), ["dev"]).get_data_info(0)
    assert Path(example["img_path"]).is_file() and counts["dev: images"] == 6


def test_a_sure_count_stops_and_an_unsure_one_is_reported(tmp_path, capsys):
    root = miniatures.vqa_v2(tmp_path / "raw")
    with pytest.raises(DataError, match="vqa_v2: train: questions: must be 443,757, got .*--any-count"):
        COMMAND.main(["vqa_v2", str(root), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    root = miniatures.gqa(tmp_path / "gqa")
    COMMAND.main(["gqa", str(root), "--out", str(tmp_path / "out")])
    assert "warning: gqa: val: questions: got 1 of 132,062 (as it is quoted; its source" in capsys.readouterr().out


def test_an_empty_file_is_reported(tmp_path):
    root = miniatures.gqa(tmp_path / "raw")
    (root / "val_balanced_questions.json").write_bytes(b"")
    with pytest.raises(DataError, match="val_balanced_questions.json has 0 bytes. Fetch it again: questions1.2.zip"):
        COMMAND.main(["gqa", str(root), "--out", str(tmp_path / "out")])
