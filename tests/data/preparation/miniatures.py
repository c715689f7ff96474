"""Each public data set with a handful of entries, in the layout in which it is downloaded."""

from __future__ import annotations

import json
import pickle

from tests.data.shards.tiny_shards import pairs, write_tar

SPLITS = ("train", "restval", "val", "test")


def write(root, files):
    """Write path to content: bytes, text, or JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, (bytes, str)):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def lines(entries):
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def karpathy(name_of, place, with_ids=True):
    """Return Karpathy's file with one image a split and two captions each."""
    images = []
    for number, split in enumerate(SPLITS):
        sentences = [{"raw": f" {split}  {k} ", "sentid": 10 * number + k, "tokens": []} for k in range(2)]
        entry = {"filename": name_of(number), "imgid": number, "split": split, "sentences": sentences}
        images.append(entry | ({"cocoid": 100 + number, "filepath": place} if with_ids else {}))
    return {"images": images, "dataset": "coco"}


def note(number, image):
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": [1, 2, 3, 4],
        "iscrowd": 0,
        "segmentation": [[1]],
    }


def coco(root):
    instances = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "dog"}]}
    both = [{"id": 100 + n, "file_name": f"{n}.jpg", "width": 9, "height": 9} for n in range(4)]
    captions = {
        "images": both[:3],
        "annotations": [{"id": n, "image_id": 100 + n, "caption": "a dog"} for n in range(3)],
    }
    return write(
        root,
        {
            "dataset_coco.json": karpathy(lambda n: f"{n}.jpg", "train2014"),
            "annotations/instances_train2014.json": instances
            | {"images": both, "annotations": [note(n, 100 + n) for n in range(4)]},
            "annotations/instances_val2014.json": instances,
            "annotations/captions_train2014.json": captions,
            "annotations/captions_val2014.json": captions
            | {"images": [{"id": 7, "file_name": "v.jpg"}], "annotations": [{"id": 9, "image_id": 7, "caption": "v"}]},
            **{f"train2014/{n}.jpg": b"x" for n in range(4)},
            "val2014/v.jpg": b"x",
        },
    )


def nocaps(root):
    domains = ("in-domain", "near-domain", "out-domain", "out-domain")
    images = [
        {"id": n, "coco_url": f"https://s3.amazonaws.com/nocaps/val/{n}.jpg", "file_name": f"{n}.jpg", "domain": domain}
        for n, domain in enumerate(domains)
    ]
    notes = [{"image_id": n, "id": 10 * n + k, "caption": f"animal {n} runs {k}"} for n in range(4) for k in range(2)]
    files = {"nocaps_val_4500_captions.json": {"images": images, "annotations": notes}}
    return write(root, files | {f"val/{n}.jpg": b"x" for n in range(4)})


def flickr30k(root):
    content = karpathy(lambda n: f"{n}.jpg", "", with_ids=False)
    images = {f"flickr30k-images/{n}.jpg": b"x" for n in range(4)}
    return write(root, {"dataset_flickr30k.json": content, **images})


def vqa_v2(root):
    files = {}
    for first, split in enumerate(("train2014", "val2014")):
        keys = range(100 * first, 100 * first + 10)
        questions = [{"question_id": k, "image_id": first + 1, "question": "is it?"} for k in keys]
        answers = [
            {"question_id": k, "image_id": first + 1, "multiple_choice_answer": "no" if k % 100 == 9 else "yes"}
            | {"question_type": "is it", "answer_type": "yes/no"}
            | {"answers": [{"answer_id": n, "answer": "yes", "answer_confidence": "yes"} for n in range(10)]}
            for k in keys
        ]
        files[f"v2_OpenEnded_mscoco_{split}_questions.json"] = {"questions": questions}
        files[f"v2_mscoco_{split}_annotations.json"] = {"annotations": answers}
        files[f"{split}/COCO_{split}_{first + 1:012d}.jpg"] = b"x"
    return write(root, files)


def visual_genome(root):
    url = "https://cs.stanford.edu/people/rak248"
    images = [
        {"image_id": 1, "url": f"{url}/VG_100K_2/1.jpg", "width": 100, "height": 50, "coco_id": 102},
        {"image_id": 2, "url": f"{url}/VG_100K/2.jpg", "width": 100, "height": 50, "coco_id": None},
    ]

    def region(phrase, x, y=0, width=20, height=10):
        return {"phrase": phrase, "x": x, "y": y, "width": width, "height": height, "region_id": x}

    regions = [
        {"id": 1, "regions": [region("held out", 0)]},
        {
            "id": 2,
            "regions": [region("a red ball", 5), region(" a red  ball", 90, -4), region("", 1), region("far", 100)],
        },
    ]
    qas = [{"id": 2, "qas": [{"qa_id": 5, "image_id": 2, "question": "What?", "answer": "Ball."}]}]
    files = {"image_data.json": images, "region_descriptions.json": regions, "question_answers.json": qas}
    return write(root, {**files, "VG_100K_2/1.jpg": b"x", "VG_100K/2.jpg": b"x"})


def refcoco(root):
    references = [
        {
            "ref_id": n,
            "image_id": 7,
            "ann_id": n,
            "split": split,
            "category_id": 1,
            "sent_ids": [2 * n],
            "file_name": "x",
        }
        | {"sentences": [{"sent_id": 2 * n, "sent": "left dog", "raw": "Left dog", "tokens": ["left", "dog"]}]}
        for n, split in enumerate(("train", "train", "val", "testA", "testB"))
    ]
    references[0]["sentences"].append({"sent_id": 1, "sent": " ", "raw": "", "tokens": []})
    instances = {"images": [{"id": 7, "file_name": "7.jpg", "width": 9, "height": 9}], "categories": []}
    instances["annotations"] = [note(n, 7) for n in range(5)]
    names = ("refcoco/refs(unc).p", "refcoco+/refs(unc).p", "refcocog/refs(umd).p", "refcocog/refs(google).p")
    files = {name: pickle.dumps(references, 2) for name in names}
    files |= {f"{which}/instances.json": instances for which in ("refcoco", "refcoco+", "refcocog")}
    return write(root, {**files, "train2014/7.jpg": b"x"})


def cc3m(root):
    """As img2dataset writes it: shards, a table and figures for each."""
    for name in ("00000", "00001", "val-00000"):
        write(root, {f"{name}_stats.json": {"count": 2}, f"{name}.parquet": b"PAR1"})
        write_tar(root / f"{name}.tar", pairs(range(2)))
    return root


sbu = cc3m


def nlvr2(root):
    files = {}
    for split, place in (("train", "train/59"), ("dev", "dev"), ("test1", "test1")):
        entry = {"identifier": f"{split}-3-1-0", "sentence": "Both are dogs.", "label": "True", "synset": "dog"}
        more = {"identifier": f"{split}-3-1-1", "label": "False"}
        directory = {"directory": 59} if split == "train" else {}
        files[f"data/{split}.json"] = lines([entry | directory, entry | directory | more])
        files |= {f"images/{place}/{split}-3-1-img{k}.png": b"x" for k in range(2)}
    return write(root, files)


def gqa(root):
    question = {"imageId": "7", "question": "Is it red?", "answer": "yes", "types": {"structural": "verify", "x": 1}}
    files = {f"{s}_balanced_questions.json": {"01": question | {"semantic": [1]}} for s in ("train", "val", "testdev")}
    return write(root, {**files, "images/7.jpg": b"x"})


def snli_ve(root):
    pair = {"Flickr30K_ID": "5", "pairID": "5.jpg#0r1n", "sentence2": "A man sleeps.", "gold_label": "neutral"}
    files = {f"snli_ve_{split}.jsonl": lines([pair]) for split in ("train", "dev", "test")}
    return write(root, {**files, "flickr30k-images/5.jpg": b"x"})


def nlvr(root):
    item = {"x_loc": 10, "y_loc": 20, "size": 30, "type": "circle", "color": "Yellow"}
    example = {"identifier": "1-0", "sentence": "There is a circle.", "label": "true"}
    example["structured_rep"] = [[item], [item], [item]]
    files = {f"{s}/{s}.json": lines([example]) for s in ("train", "dev")}
    images = {f"{s}/images/3/{s}-1-0-{k}.png": b"x" for s in ("train", "dev") for k in range(6)}
    return write(root, {**files, **images})
