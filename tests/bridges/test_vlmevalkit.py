"""The class for VLMEvalKit, against a stand-in of their base class.

As in open-compass/VLMEvalKit at e8e78f0: vlmeval/vlm/base.py (``generate`` and ``chat`` make lists of dicts with
``type`` and ``value`` of messages, then call ``generate_inner`` and ``chat_inner``; an image is a path),
vlmeval/config.py (``supported_VLM``, names to what builds a model), vlmeval/inference.py (``use_vllm`` is given by the
name of a model).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from bus_toolkit.errors import ConfigError
from tests.bridges.test_reduced_model import PICTURE, QUARTER


class BaseModel:
    INTERLEAVE = False
    allowed_types = ("text", "image", "video")

    def __init__(self) -> None:
        self.dump_image_func = None

    def use_custom_prompt(self, dataset: str) -> bool:
        return False

    def generate_inner(self, message: Any, dataset: Any = None) -> str:
        raise NotImplementedError

    def generate(self, message: list[Any], dataset: Any = None) -> str:
        made = [one if isinstance(one, dict) else {"type": "text", "value": one} for one in message]
        assert all(one["type"] in self.allowed_types for one in made)
        return self.generate_inner(made, dataset)

    def chat(self, messages: list[Any], dataset: Any = None) -> str:
        return self.chat_inner(messages, dataset=dataset)  # type: ignore[attr-defined]


PACKAGE = pytest.mark.parametrize(
    "stand_in",
    [{"vlmeval.vlm.base": {"BaseModel": BaseModel}, "vlmeval.config": {"supported_VLM": {"LLaVA": object}}}],
    indirect=True,
    ids=["vlmeval"],
)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    PICTURE.save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def module() -> Any:
    return importlib.import_module("bus_toolkit.bridges.vlmevalkit")


@PACKAGE
def test_a_registered_name_builds_a_model_that_answers(stand_in: Any, folder: Path, picture: str) -> None:
    settings = {"device": "cpu", "dtype": "float32", "max_new_tokens": 3}
    module().register("LLaVA-quarter", folder=str(folder), reduction=QUARTER, **settings)
    model = stand_in["vlmeval.config"].supported_VLM.pop("LLaVA-quarter")(use_vllm=False)
    assert isinstance(model, BaseModel) and model.INTERLEAVE
    image = {"type": "image", "value": picture}
    answer = model.generate([image, "what is this"], dataset="MMBench")
    assert len(answer.split()) == 3
    assert model.reduced.reduction.counts == (4,)
    asked = {"role": "user", "content": [image, {"type": "text", "value": "what is this"}]}
    assert model.chat([asked]) == answer
    answered = {"role": "assistant", "content": [{"type": "text", "value": answer}]}
    again = {"role": "user", "content": [{"type": "text", "value": "again"}]}
    assert len(model.chat([asked, answered, again]).split()) == 3


@PACKAGE
def test_mistakes_are_named(stand_in: Any) -> None:
    with pytest.raises(ConfigError, match="name: must not be that of a model of VLMEvalKit, got 'LLaVA'"):
        module().register("LLaVA")
    with pytest.raises(ConfigError, match="folder: a model is needed"):
        module().ReducedVLM()
    with pytest.raises(ConfigError, match="use_vllm: must be false"):
        module().ReducedVLM(use_vllm=True)


def test_without_their_package_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vlmeval", "vlmeval.vlm.base"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "bus_toolkit.bridges.vlmevalkit", raising=False)
    with pytest.raises(ConfigError, match="VLMEvalKit must be installed, got none. Run: git clone"):
        importlib.import_module("bus_toolkit.bridges.vlmevalkit")
