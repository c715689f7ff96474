"""Small files in COCO's form with everything that a file may have: doubled images, crowds, texts that are none."""

import json

import numpy as np


def write_coco(folder, images=12, captions=40, seed=0):
    """Write captions, instances, regions and both kinds of descriptions; return the settings that name them."""
    rng = np.random.default_rng(seed)
    ids = (rng.permutation(images * 3)[:images] + 5).tolist()
    entries = [{"id": one, "coco_url": f"http://x/set{one % 2}/{one}.png", "width": 640} for one in ids]
    entries.append(dict(entries[2]))  # the same entry twice does no harm
    texts = ["a dog", "é 漢 \U0001f680", "half \ud83d", None, 7, "", 'two },{ ] brackets " \\', ["a"]]
    annotations = [
        {"image_id": ids[int(rng.integers(images - 1))], "id": 1000 - number, "caption": texts[number % len(texts)]}
        for number in range(captions)
    ]
    boxes, regions = _boxes(rng, [*ids, 999_999], annotations)
    sizes = [{"id": ids[0], "width": 64, "height": "48"}, {"id": ids[1], "width": 32}, {"id": ids[0], "width": 65}]
    content = {
        "captions": {"info": {"a": [1]}, "images": entries, "annotations": annotations, "licenses": [{"id": 1}]},
        "instances": {"categories": [{"id": 3, "name": "dog"}], "images": sizes, "annotations": boxes},
        "regions": regions,
        "descriptions": _described(rng, ids),
    }
    for name, value in content.items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=int(rng.integers(2)) or None))
    return {f"{name}_file": str(folder / f"{name}.json") for name in list(content)[1:]}


def _boxes(rng, ids, annotations):
    boxes, regions = [], {}
    for number in range(60):
        corner = rng.random(4).round(3) * 20
        image = ids[int(rng.integers(1, len(ids)))]
        boxes.append({"id": number * 7, "image_id": image, "bbox": corner.tolist(), "category_id": 3})
        boxes[-1]["iscrowd"] = int(number % 9 == 4)
    for caption in annotations[::2]:
        own = [box["id"] for box in boxes if box["image_id"] == caption["image_id"]]
        wanted = [one for one in own if rng.random() < 0.5] + [123_456] * (rng.random() < 0.1)
        regions[str(caption["id"])] = wanted
    return boxes, {**regions, "77": [0]}


def _described(rng, ids):
    keys = ("x", "y", "width", "height")
    return [
        {
            "id": image,
            "regions": [
                {"phrase": ("left dog ", "cat", " ")[int(rng.integers(3))], **dict(zip(keys, box, strict=True))}
                for box in rng.integers(1, 9, (5, 4)).tolist()
            ],
        }
        for image in [*ids[:4], ids[1], 4242]
    ]


def reader(folder):
    return {
        "type": "mmpretrain.COCORetrieval",
        "data_root": str(folder / "photos"),
        "ann_file": str(folder / "captions.json"),
    }
