"""Bad data end to end: a bad file or row is an error or a counted skip, never another picture, colour or box."""

import json

import numpy as np
import pytest
from PIL import Image

from bus_toolkit.data.datasets.bad_samples import TooManyBadSamples
from bus_toolkit.data.datasets.captioned_images import CaptionedImages
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.data.transforms.load import LoadImage, LoadImageFromBytes
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.tokenizers.wordpiece import WordPieceTokenizer
from tests.data.odd_images import RED, WHITE, animation, encode, huge_png, photo, rotated_jpeg
from tests.data.shards.tiny_shards import build as build_shards
from tests.data.shards.tiny_shards import write_tar

PIPELINE = [{"type": "bus_toolkit.LoadImage"}, {"type": "bus_toolkit.PackRegions"}]
JPEG = encode(photo(), "JPEG")


def coco(folder, image, *, caption="a star", boxes=(), named=None, size=None, options=None):
    """Write one good picture and one that is in question, with a caption each; return the data set."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "1.img").write_bytes(image)
    (folder / "images" / "2.img").write_bytes(JPEG)
    stated = {} if size is None else {"width": size[0], "height": size[1]}
    images = [{"id": n, "coco_url": f"x/images/{n}.img", **stated} for n in (1, 2)]
    captions = [{"id": 11, "image_id": 1, "caption": caption}, {"id": 12, "image_id": 2, "caption": "good"}]
    instances = [{"id": 21 + k, "image_id": 1, "bbox": list(box)} for k, box in enumerate(boxes)]
    write(folder / "captions.json", {"images": images, "annotations": captions})
    write(folder / "instances.json", {"images": images, "annotations": instances})
    write(folder / "regions.json", {"11": [21] if named is None else named} if boxes else {})
    return build(folder, **(options or {}))


def write(path, content):
    path.write_text(json.dumps(content))


def build(folder, **options):
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(folder), "ann_file": "captions.json"}
    files = {"instances_file": str(folder / "instances.json"), "regions_file": str(folder / "regions.json")}
    return RegionCaptionDataset(reader, PIPELINE, **{**files, **options})


def shard(folder, image, *, caption="a star", **record):
    members = [("1.png", image), ("1.json", json.dumps({"caption": caption, **record}).encode())]
    members += [("2.jpg", JPEG), ("2.txt", b"good")]
    return build_shards(write_tar(folder / "a.tar", members))


BAD_IMAGES = {
    "cut off": (JPEG[:-200], "the JPEG is cut off"),
    "empty": (b"", "the image has 0 bytes"),
    "a web page": (b"<html>not found</html>", "no header of JPEG, PNG"),
    "a bomb": (huge_png(), "refused before decoding: its header claims more than 178956970 pixels"),
}


@pytest.mark.parametrize("read", [coco, shard], ids=["files", "shards"])
@pytest.mark.parametrize(("image", "reason"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image_is_counted_and_another_sample_takes_its_place(tmp_path, read, image, reason, caplog):
    data = read(tmp_path, image)
    assert data[0]["data_samples"].text == "good" and data.bad.count == 1
    assert reason in caplog.text and "1." in caplog.text


ODD_IMAGES = {
    "16-bit": (encode(Image.fromarray(np.full((4, 4), 30_000, np.uint16)), "PNG"), [117] * 3),
    "CMYK": (encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), RED),
    "grey": (encode(Image.new("L", (4, 4), 77), "PNG"), [77] * 3),
    "transparent": (encode(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"), WHITE),
    "animated": (animation("GIF"), RED),
}


@pytest.mark.parametrize("read", [coco, shard], ids=["files", "shards"])
@pytest.mark.parametrize(("image", "colour"), ODD_IMAGES.values(), ids=ODD_IMAGES)
def test_an_odd_image_shows_the_colours_that_people_see(tmp_path, read, image, colour):
    data = read(tmp_path, image)
    pixel = data[0]["inputs"][:, 1, 1]
    assert np.abs(pixel.numpy().astype(int) - colour).max() <= 2 and data.bad.count == 0


@pytest.mark.parametrize("read", [coco, shard], ids=["files", "shards"])
def test_boxes_belong_to_the_upright_picture(tmp_path, read):
    """The stored picture is 64 x 48, upright it is 48 x 64: a box down to 60 fits only the latter."""
    box = [[2, 30, 20, 30]]
    data = read(tmp_path, rotated_jpeg(6), boxes=box)
    packed = data[0]
    assert packed["inputs"].shape == (3, 64, 48)
    assert packed["data_samples"].gt_boxes.tolist() == [[2, 30, 22, 60]]


def test_a_stated_size_from_before_the_rotation_is_reported(tmp_path, caplog):
    box = [[30, 2, 30, 20]]
    data = coco(tmp_path, rotated_jpeg(6), boxes=box, size=(64, 48))
    assert data[0]["data_samples"].text == "good" and data.bad.count == 1
    report = "its boxes are for 64 x 48 pixels, the upright image has 48 x 64 (turned: are its boxes from before"
    assert report in caplog.text
    good = coco(tmp_path, rotated_jpeg(6), boxes=[[2, 30, 20, 30]], size=(48, 64))
    assert good[0]["data_samples"].text == "a star"
    sharded = shard(tmp_path, rotated_jpeg(6), boxes=box, width=64, height=48)
    assert sharded[0]["data_samples"].text == "good" and sharded.bad.count == 1
    without = coco(tmp_path, rotated_jpeg(6), size=(64, 48))
    assert without[0]["data_samples"].text == "a star", "without boxes the size does not matter"


@pytest.mark.parametrize("read", [coco, shard], ids=["files", "shards"])
@pytest.mark.parametrize("box", [[64, 0, 5, 5], [0, 48, 5, 5], [-9, 2, 8, 8], [3, -9, 8, 9]])
def test_a_box_outside_its_image_makes_a_bad_sample(tmp_path, read, box, caplog):
    data = read(tmp_path, JPEG, boxes=[box, [1, 1, 5, 5]])
    assert data[0]["data_samples"].text == "good" and data.bad.count == 1
    assert "a box lies outside the 64 x 48 pixels: [" in caplog.text


def test_a_box_over_the_edge_is_cut_to_the_image(tmp_path):
    data = coco(tmp_path, JPEG, boxes=[[-4, 40, 10, 20]])
    assert data[0]["data_samples"].gt_boxes.tolist() == [[0, 40, 6, 48]] and data.bad.count == 0


def test_a_box_without_numbers_is_reported_with_its_id(tmp_path):
    for box in ([float("nan"), 0, 5, 5], [0, 0, float("inf"), 5], [0, 0, -5, 5]):
        with pytest.raises(DataError, match="instances.json: instance 22 of image 1: x, y, width.*Correct it, or drop"):
            coco(tmp_path, JPEG, boxes=[[1, 1, 2, 2], box])
    data = shard(tmp_path, JPEG, boxes=[[float("nan"), 0, 5, 5]])
    assert data[0]["data_samples"].text == "good" and data.bad.count == 1
    sample = {"gt_bboxes": np.array([[1, np.nan, 2, 2]], np.float32), "img_bytes": JPEG}
    with pytest.raises(OSError, match="a box is not finite: .1.0, nan"):
        LoadImageFromBytes()(sample)


def test_a_description_with_a_bad_box_is_reported(tmp_path):
    region = {"phrase": "a hat", "x": 1, "y": 1, "width": -2, "height": 2}
    write(tmp_path / "descriptions.json", [{"id": 1, "regions": [region]}])
    with pytest.raises(DataError, match="descriptions_file: .*the box of 'a hat' of image 1 is"):
        coco(tmp_path, JPEG, options={"descriptions_file": str(tmp_path / "descriptions.json")})


def test_a_caption_must_not_name_what_its_image_does_not_have(tmp_path, caplog):
    data = coco(tmp_path, JPEG, boxes=[[1, 1, 5, 5]], named=[21, 99])
    assert data[0]["data_samples"].text == "good" and data.bad.count == 1
    assert "1.img: text 'a star' names instance 99, which its image does not have" in caplog.text


def test_a_caption_that_names_a_crowd_alone_has_no_boxes(tmp_path):
    coco(tmp_path, JPEG, boxes=[[1, 1, 5, 5], [2, 2, 5, 5]], named=[22])
    content = json.loads((tmp_path / "instances.json").read_text())
    content["annotations"][1]["iscrowd"] = 1
    write(tmp_path / "instances.json", content)
    data = build(tmp_path)
    assert "gt_boxes" not in data[0]["data_samples"] and data.bad.count == 0


def test_ids_that_stand_twice_are_reported(tmp_path):
    coco(tmp_path, JPEG, boxes=[[1, 1, 5, 5]])
    captions = json.loads((tmp_path / "captions.json").read_text())
    instances = json.loads((tmp_path / "instances.json").read_text())

    write(tmp_path / "captions.json", {**captions, "images": [*captions["images"], captions["images"][0]]})
    assert len(build(tmp_path)) == 2, "the same entry twice does no harm"
    other = {"id": 1, "coco_url": "x/images/other.img"}
    write(tmp_path / "captions.json", {**captions, "images": [*captions["images"], other]})
    with pytest.raises(DataError, match=r"1 ids are used twice: images\[2\]: id 1 of x/images/other.img is that of x/"):
        build(tmp_path)
    same = {"id": 11, "image_id": 2, "caption": "b"}
    write(tmp_path / "captions.json", {**captions, "annotations": [*captions["annotations"], same]})
    with pytest.raises(DataError, match=r"annotations\[2\]: caption id 11 is that of annotations\[0\]"):
        build(tmp_path)
    assert len(build(tmp_path, instances_file=None, regions_file=None)) == 3, "without regions they do no harm"

    write(tmp_path / "captions.json", captions)
    write(tmp_path / "instances.json", {"annotations": instances["annotations"] * 2})
    with pytest.raises(DataError, match="instances.json: instance id 21 is used twice"):
        build(tmp_path)
    write(tmp_path / "instances.json", instances)
    (tmp_path / "regions.json").write_text('{"11": [21], "12": [], "11": []}')
    with pytest.raises(DataError, match="regions.json is not JSON: the key '11' occurs twice in one mapping"):
        build(tmp_path)


LONG = " ".join(["word"] * 10_000)


@pytest.mark.parametrize("read", [coco, shard], ids=["files", "shards"])
@pytest.mark.parametrize("caption", ["a \U0001f436 in the park", "\U0001f436", LONG])
def test_emoji_and_long_captions_reach_the_tokenizer(tmp_path, read, caption):
    data = read(tmp_path, JPEG, caption=caption)
    tokenizer = WordPieceTokenizer(max_length=16)
    batch = tokenizer([data[0]["data_samples"].text, data[1]["data_samples"].text])
    assert data.bad.count == 0 and batch.input_ids.shape[1] <= 16
    assert tokenizer.num_truncated == (caption == LONG), "a cut caption is counted"
    assert (tokenizer.unk_token_id in batch.input_ids[0]) == ("\U0001f436" in caption)


@pytest.mark.parametrize("read", [coco, shard], ids=["files", "shards"])
@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("", "the caption is empty"),
        ("\u200b \u2060", r"the caption is empty, got '\u200b \u2060'"),
        ("half \ud83d", "the caption is no valid text: surrogates not allowed at"),
        (7, "no"),
    ],
)
def test_a_bad_caption_is_counted(tmp_path, read, caption, reason, caplog):
    data = read(tmp_path, JPEG, caption=caption)
    assert data[0]["data_samples"].text == "good" and data.bad.count == 1 and reason in caplog.text


def test_an_empty_reference_is_counted_and_not_scored_against(tmp_path):
    options = {"type": "bus_toolkit.RegionCaptionDataset", "pipeline": PIPELINE}
    options["dataset"] = {"type": "mmpretrain.COCORetrieval", "data_root": str(tmp_path), "ann_file": "captions.json"}
    coco(tmp_path, JPEG, caption=" ")
    data = CaptionedImages(options)
    assert len(data) == 1 and list(data.references.values()) == [["good"]] and data.dataset.bad.count == 1
    with pytest.raises(TooManyBadSamples, match="1 bad samples, the limit is 0"):
        CaptionedImages({**options, "max_bad_samples": 0})


def test_a_row_for_patch_text_alone_is_checked_too(tmp_path):
    data = coco(tmp_path, JPEG, boxes=[[90, 1, 5, 5]])
    data[RegionRow(0)]
    assert data.bad.count == 1


def test_the_limit_of_pixels_is_a_setting():
    for transform in (LoadImage, LoadImageFromBytes):
        with pytest.raises(ConfigError, match=f"{transform.__name__}.max_pixels: must be from 1 to 178956970, got 0"):
            transform(max_pixels=0)
    with pytest.raises(OSError, match="claims 64 x 48 pixels, max_pixels is 100"):
        LoadImageFromBytes(max_pixels=100)({"img_bytes": JPEG})
    with pytest.raises(OSError, match="the image cannot be read: No such file"):
        LoadImage()({"img_path": "/nowhere.jpg"})
