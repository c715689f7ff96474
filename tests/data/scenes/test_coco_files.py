import json

from bus_toolkit.data.scenes.coco_files import write_annotations
from bus_toolkit.data.scenes.plan import plan_scenes
from bus_toolkit.data.scenes.settings import SceneSettings


def test_captions_instances_and_regions_agree(tmp_path):
    settings = SceneSettings()
    names = write_annotations(tmp_path, "train", plan_scenes(settings, "train", 5), settings)
    kinds = ("captions", "instances", "regions", "descriptions")
    assert names == [*(f"{kind}_train.json" for kind in kinds), "words.json"]
    captions, instances, regions, descriptions, words = (json.loads((tmp_path / name).read_text()) for name in names)
    by_id = {item["id"]: item for item in instances["annotations"]}
    assert [image["file_name"] for image in captions["images"]][0] == "000000000001.jpg"
    assert len(regions) == len(captions["annotations"])
    for caption in captions["annotations"]:
        named = [by_id[i] for i in regions[str(caption["id"])]]
        assert all(item["image_id"] == caption["image_id"] for item in named)
        for item in named:
            described = " ".join(item["attributes"][key] for key in ("size", "colour", "shape"))
            assert described in caption["caption"]
    for image in descriptions:
        boxes = {tuple(item["bbox"]): item for item in by_id.values() if item["image_id"] == image["id"]}
        described = {}
        for region in image["regions"]:
            item = boxes[region["x"], region["y"], region["width"], region["height"]]
            assert set(region["phrase"].split()) <= set(item["attributes"].values())
            described.setdefault(item["id"], set()).add(region["phrase"])
        assert len(described) == len(boxes) and all(len(texts) == 4 for texts in described.values())
    assert set(words) == {"colour", "shape", "size", "relation"}
    assert {c["name"] for c in instances["categories"]} == set(settings.shapes)


def test_boxes_have_the_form_of_coco(tmp_path):
    settings = SceneSettings()
    write_annotations(tmp_path, "val", plan_scenes(settings, "val", 3), settings)
    for item in json.loads((tmp_path / "instances_val.json").read_text())["annotations"]:
        x, y, width, height = item["bbox"]
        assert 0 <= x and 0 <= y and x + width <= 64.01 and y + height <= 64.01
        assert abs(item["area"] - width * height) < 0.01
