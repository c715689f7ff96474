"""All that the page is answered, and what a question changes in the model: nothing."""

import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image

from bus_toolkit import Inferencer
from bus_toolkit.app import Desk, Gallery, Question
from bus_toolkit.app.refusals import RequestRefused
from bus_toolkit.errors import BusError, ConfigError, DataError
from tests.app.asking import png
from tests.inference.toy import SIDE, TEXTS, photos, run_config, write_run


def picture(address):
    kind, _, content = address.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_every_head_answers_as_the_inferencer_does(desk):
    found = desk.ask(Question(png(), text=TEXTS[0], captions=TEXTS))
    model, pixels = desk._inferencer, np.asarray(Image.open(io.BytesIO(png())))
    assert found["answer"] == {"words": model.answer(pixels, TEXTS[0])[0]["answer"], "probability": None}
    assert found["caption"] == model.caption(pixels)[0]["caption"]
    assert found["box"]["corners"] == model.ground(pixels, TEXTS[0])[0]["box"]
    hits = model.retrieve(pixels, list(TEXTS), topk=6, rerank=6, direction="i2t")[0]
    assert [hit["text"] for hit in found["captions"]] == [hit["text"] for hit in hits]
    own = next(hit for hit in found["captions"] if hit["text"] == TEXTS[0])
    assert found["scores"] == pytest.approx({"score": own["score"], "match": own["match"]})
    assert sorted(hit["number"] for hit in found["images"]) == [0, 1, 2]
    (read,) = model.read_patches(pixels, TEXTS[0])
    assert [stage["tokens"] for stage in found["stages"]] == [17, 10, 6] and found["decoded"] == 4
    assert found["stages"][0]["kept"] == [[True] * 4] * 4 and found["stages"][2]["kept"] == read["kept"]
    assert picture(found["image"]).size == tuple(found["size"]) == (40, 40)
    assert np.array_equal(np.asarray(picture(found["seen"])), read["picture"]) and read["picture"].shape[0] == SIDE


def test_without_a_text_what_needs_none_is_answered(desk):
    found = desk.ask(Question(b"", gallery=1))
    assert {"caption", "stages"} <= set(found) and not {"answer", "box", "scores", "captions", "images"} & set(found)
    assert found["size"] == [48, 40]


def test_a_ratio_holds_for_its_question_alone(desk):
    asked = Question(png(), text=TEXTS[0])
    before = desk.ask(asked)
    other = desk.ask(Question(png(), text=TEXTS[0], keep_ratio=1.0))
    with pytest.raises(BusError, match=r"raise the selectors' keep_ratio"):
        desk.ask(Question(png(), text=TEXTS[0], keep_ratio=0.05))
    after = desk.ask(asked)
    assert [stage["tokens"] for stage in other["stages"]] == [17, 17, 17]
    assert {**before, "seconds": 0} == {**after, "seconds": 0}


def test_questions_take_turns(desk):
    answers = [None] * 4
    ratios = [None, 1.0, None, 0.5]

    def one(number):
        answers[number] = desk.ask(Question(png(), text=TEXTS[1], keep_ratio=ratios[number]))["stages"][1]["tokens"]

    threads = [threading.Thread(target=one, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [10, 17, 10, 10]


def test_an_image_that_is_not_there_is_refused(desk):
    with pytest.raises(RequestRefused, match="There is no image 3"):
        desk.ask(Question(b"", gallery=3))


def test_a_gallery_of_too_many_is_refused():
    with pytest.raises(ConfigError, match=r"--images: the app shows at most 1,000, got 1,001\."):
        Gallery(["a.png"] * 1001)


def test_a_file_that_went_away_is_said_by_its_name(tmp_path):
    path = tmp_path / "gone.png"
    path.write_bytes(png())
    gallery = Gallery([str(path)])
    path.unlink()
    with pytest.raises(DataError, match=r"^gone\.png: .*No such file"):
        gallery.small(0)


def test_a_model_that_takes_one_size_alone_gets_others_resized(desk, tmp_path):
    config = run_config(tmp_path / "scenes")
    del config["test_dataloader"]["dataset"]["pipeline"][1]  # the resize
    paths = [str(path) for path in photos(tmp_path / "photos", count=2, size=(96, 64))]
    found = Desk(Inferencer(write_run(tmp_path / "run", config), device="cpu"), Gallery(paths)).ask(
        Question(b"", gallery=0, text=TEXTS[0])
    )
    assert found["size"] == [96, 64] and picture(found["seen"]).size == (SIDE, SIDE) and len(found["images"]) == 2
    # The same weights and pixels as with the resize in the pipeline, whose box is in pixels of the image, too.
    pixels = np.asarray(Image.open(paths[0]))
    other = desk._inferencer.ground(pixels, TEXTS[0])[0]
    assert found["box"]["corners"] == pytest.approx(other["box"], abs=0.01)


def test_a_class_has_its_name_or_its_number(tmp_path):
    config = run_config(tmp_path / "scenes", cls={"type": "ClassificationHead", "num_classes": 3})
    model = Inferencer(write_run(tmp_path / "run", config), device="cpu")
    asked = Question(png(), text=TEXTS[0])
    (expected,) = model.label(np.asarray(Image.open(io.BytesIO(png()))), TEXTS[0])
    assert model.abilities == ("label",) and 1 / 3 < expected["probability"] < 1
    unnamed, named = (Desk(model, Gallery(), (), names).ask(asked)["class"] for names in ([], ["no", "yes", "so"]))
    assert unnamed == {"name": f"class {expected['label']}", "probability": expected["probability"]}
    assert named["name"] == ["no", "yes", "so"][expected["label"]]


def test_classes_that_are_answers_are_said_once_with_their_probability(tmp_path):
    (tmp_path / "answers.txt").write_text("no\nyes\nso\n")
    config = run_config(tmp_path / "scenes", cls={"type": "ClassificationHead", "num_classes": 3})
    label = {"type": "AnswerLabel", "answers_file": str(tmp_path / "answers.txt")}
    config["test_dataloader"]["dataset"]["pipeline"].insert(1, label)
    del config["model"]["decoder"]
    model = Inferencer(write_run(tmp_path / "run", config), device="cpu")
    found = Desk(model, Gallery()).ask(Question(png(), text=TEXTS[0]))
    (expected,) = model.answer(np.asarray(Image.open(io.BytesIO(png()))), TEXTS[0])
    assert found["answer"] == {"words": expected["answer"], "probability": expected["score"]} and "class" not in found
    assert found["decoded"] is None  # tokens after the last stage are not said twice
