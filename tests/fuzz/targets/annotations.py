"""JSON that people and scripts write: samples of shards, COCO's files, questions, references, dialogs, pairs."""

import json

from bus_toolkit.data.annotations.coco_boxes import read_descriptions, read_instances, read_regions
from bus_toolkit.data.annotations.coco_captions import refuse_shared_ids
from bus_toolkit.data.annotations.conversations import read_conversations
from bus_toolkit.data.annotations.pairs import part_of, read_pairs
from bus_toolkit.data.annotations.questions import read_questions
from bus_toolkit.data.annotations.references import read_images, read_references
from bus_toolkit.data.shards.annotation import parse_annotation
from bus_toolkit.errors import BusError
from tests.fuzz.mutation import damage_text, damage_value
from tests.fuzz.target import Target

_IMAGES = [{"id": 1, "file_name": "a.png", "width": 8, "height": 9}, {"id": 2, "file_name": "b.png"}]
_BOX = {"id": 7, "image_id": 1, "bbox": [1, 2, 3.5, 4], "category_id": 3, "iscrowd": 0}
_QA = {"qa_id": 1, "image_id": 1, "question": "what?", "answer": "a dog"}
_TURNS = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "a dog"}]
_SENTENCES = [{"sent_id": 1, "sent": "left"}, {"sent_id": 2, "sent": "the right one"}]


def _pairs(path, location):
    records = read_pairs(path, None, None, location)
    part_of(records, "val", 0.5, location, path.parent)


_DOGS = [{"id": 3, "name": "dog"}]
_CAPTION = {"id": 1, "image_id": 1, "caption": "a"}
_REGION = {"phrase": "a dog", "x": 1, "y": 2, "width": 3, "height": 4}
_QUESTION = {"question_id": 1, "image_id": 1, "question": "what?"}
_REFERENCE = {"ref_id": 1, "image_id": 1, "ann_id": 7, "split": "val", "sentences": _SENTENCES}
_SAMPLE = {"caption": "a dog", "boxes": [[1, 2, 3, 4]], "named": [True], "width": 8, "height": 9, "image_id": 1}
_INSTANCES = {"images": _IMAGES, "annotations": [_BOX], "categories": _DOGS}

# Reader, given path and setting, and a good file of it.
_READERS = [
    (lambda p, w: parse_annotation(p.read_bytes()), _SAMPLE),
    (lambda p, w: read_instances(str(p), w), _INSTANCES),
    (lambda p, w: read_descriptions(str(p), w), _INSTANCES),
    (lambda p, w: read_descriptions(str(p), w), [{"id": 1, "regions": [_REGION]}]),
    (lambda p, w: read_regions(str(p), w), {"1": [7], "2": []}),
    (lambda p, w: refuse_shared_ids(p, w, captions=True), {"images": _IMAGES, "annotations": [_CAPTION]}),
    (lambda p, w: read_images(str(p), w), {"images": _IMAGES, "annotations": []}),
    (lambda p, w: read_references(str(p), w), [_REFERENCE]),
    (lambda p, w: read_questions(str(p), None, w), {"questions": [_QUESTION]}),
    (lambda p, w: read_questions(str(p), None, w), [{"id": 1, "qas": [_QA]}]),
    (lambda p, w: read_questions(str(p), None, w), {"12": {"imageId": "1", "question": "what?", "answer": "a dog"}}),
    (lambda p, w: read_conversations(str(p), w), [{"id": "x", "image": "a.png", "conversations": _TURNS}]),
    (_pairs, [{"image": "a.png", "caption": ["a", "b"]}, {"image": "b.png", "caption": "c"}]),
]


def _make(rng):
    number = rng.randrange(len(_READERS))
    value = _READERS[number][1]
    if rng.random() < 0.25:
        text = damage_text(rng, json.dumps(value, indent=1).encode())
    elif rng.random() < 0.02:
        text = b"[" * 100_000
    else:
        for _ in range(rng.choice((1, 1, 2))):
            value = damage_value(rng, value)
        text = json.dumps(value).encode()
    return bytes([number]) + text


def _read(data, folder):
    file = folder / "annotations.json"
    file.write_bytes(data[1:])
    try:
        _READERS[data[0]][0](file, "setting")
    except ValueError:
        if data[0] > 0:  # that of a shard's sample, whose reader makes a bad sample of it
            raise


TARGETS = (Target("json", _make, _read, (BusError,)),)
