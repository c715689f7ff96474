"""The class for lmms-eval, against a stand-in of their base class.

As in EvolvingLMMs-Lab/lmms-eval at 75571cf: lmms_eval/api/model.py (``lmms``, ``CacheHook``), lmms_eval/api/instance.py
(``Instance.args``), lmms_eval/api/task.py (``ConfigurableMessagesTask.construct_requests`` and ``doc_to_messages``),
lmms_eval/models/registry_v2.py (``ModelManifest``, and that a chat class has ``is_simple = False``).
"""

from __future__ import annotations

import abc
import gc
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from torch import nn

from bus_toolkit.errors import ConfigError
from tests.bridges.test_reduced_model import PICTURE, QUARTER

SYSTEM = "be brief"


class CacheHook:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        self.seen.append((attr, req, res))


class Lmms(abc.ABC):
    is_simple = True

    def __init__(self) -> None:
        self._rank, self._world_size = 0, 1
        self.cache_hook = CacheHook()
        self.task_dict: dict[str, Any] = {}

    @staticmethod
    def _resolve_system_prompt(value: str) -> str:
        return value

    def _apply_system_prompt(self, messages: list[Any], system_prompt: str) -> list[Any]:
        if system_prompt:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system_prompt}]})
        return messages

    def clean(self) -> None:
        for name in [name for name, value in vars(self).items() if isinstance(value, nn.Module)]:
            delattr(self, name)

    @abc.abstractmethod
    def loglikelihood(self, requests: Any) -> Any: ...

    @abc.abstractmethod
    def generate_until(self, requests: Any) -> Any: ...

    @abc.abstractmethod
    def generate_until_multi_round(self, requests: Any) -> Any: ...


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass
class Instance:
    arguments: tuple[Any, ...]

    @property
    def args(self) -> tuple[Any, ...]:
        return self.arguments


PACKAGE = pytest.mark.parametrize(
    "stand_in",
    [{"lmms_eval.api.model": {"lmms": Lmms}, "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest}}],
    indirect=True,
    ids=["lmms_eval"],
)


def messages(doc: str, **rounds: Any) -> Any:
    """Ask about a picture; in rounds ask on once, by what was answered."""
    made = [{"role": "user", "content": [{"type": "image", "url": PICTURE}, {"type": "text", "text": doc}]}]
    if not rounds:
        return made
    made.append({"role": "assistant", "content": [{"type": "text", "text": rounds["previous_output"][-1]}]})
    made.append({"role": "user", "content": [{"type": "text", "text": "again"}]})
    return made, rounds["round_idx"] == 2, rounds["previous_output"], {"asked": rounds["round_idx"]}


def build(folder: Path, **settings: Any) -> Any:
    module = importlib.import_module("bus_toolkit.bridges.lmms_eval")
    model = module.ReducedLMMS(str(folder), QUARTER, device="cpu", dtype="float32", **settings)
    model.task_dict = {"colours": {"test": ["what is this", "a red disc", "is this a disc"]}}
    return model


def request(number: int, **generation: Any) -> Instance:
    return Instance((f"context {number}", messages, {"max_new_tokens": 3, **generation}, number, "colours", "test"))


@PACKAGE
def test_answers_come_in_the_order_of_the_requests(stand_in: Any, folder: Path) -> None:
    requests = [request(0), request(1), request(2, max_new_tokens=2)]
    one_by_one, together = build(folder), build(folder, batch_size="2")
    answers = together.generate_until(requests)
    assert answers == one_by_one.generate_until(requests)
    assert [len(answer.split()) for answer in answers] == [3, 3, 2]
    assert together.cache_hook.seen[2] == ("generate_until", ("context 2", {"max_new_tokens": 2}), answers[2])
    assert together.reduced.reduction.counts == (4,)


@PACKAGE
def test_answers_end_where_the_task_says(stand_in: Any, folder: Path) -> None:
    model = build(folder)
    (whole,) = model.generate_until([request(0)])
    second = whole.split()[1]
    expected = whole.split(second)[0]
    assert model.generate_until([request(0, until=second)]) == [expected]
    assert model.generate_until([request(0, until=["", second])]) == [expected]


@PACKAGE
def test_settings_are_those_of_the_task(stand_in: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = build(folder, system_prompt=SYSTEM), list[Any]()
    answers = type(model.reduced).answers

    def noted(self: Any, conversations: Any, **generation: Any) -> list[str]:
        given.append((conversations, generation))
        return answers(self, conversations, **generation)

    monkeypatch.setattr(type(model.reduced), "answers", noted)
    model.generate_until([request(0, temperature=0, top_p=0.5, num_beams=1), request(0, temperature=0.5, top_p=0.5)])
    greedy, sampled = (generation for _, generation in given)
    none = {"temperature": None, "top_p": None, "top_k": None}
    assert greedy == {"max_new_tokens": 3, "do_sample": False, "num_beams": 1, **none}
    assert sampled == {"max_new_tokens": 3, "do_sample": True, "temperature": 0.5, "top_p": 0.5}
    system, user = given[0][0][0]
    assert system["content"] == [{"type": "text", "text": SYSTEM}]
    assert user["content"][0] == {"type": "image", "image": PICTURE}


@PACKAGE
def test_rounds_go_on_until_the_task_ends_them(stand_in: Any, folder: Path) -> None:
    model = build(folder)
    ((first, second),) = model.generate_until_multi_round([request(0)])
    assert [first] == model.generate_until([request(0)])
    assert len(second.split()) == 3


@PACKAGE
def test_likelihoods_and_no_model_are_refused(stand_in: Any, folder: Path) -> None:
    model = build(folder)
    assert not model.is_simple and str(model.device) == "cpu"
    kept = ref(model.reduced.model)
    with pytest.raises(ConfigError, match="asks chat models for generated answers"):
        model.loglikelihood([request(0)])
    with pytest.raises(ConfigError, match="folder: a model is needed"):
        type(model)()
    model.clean()
    gc.collect()
    assert kept() is None, "a judge has the memory"


@PACKAGE
def test_the_entry_point_names_the_class(stand_in: Any) -> None:
    from bus_toolkit.bridges.lmms_eval_entry import manifest

    path, name = manifest().chat_class_path.rsplit(".", 1)
    assert issubclass(getattr(importlib.import_module(path), name), Lmms)
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'bus_toolkit = "bus_toolkit.bridges.lmms_eval_entry:manifest"' in text


def test_without_their_package_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lmms_eval", "lmms_eval.api.model"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "bus_toolkit.bridges.lmms_eval", raising=False)
    with pytest.raises(ConfigError, match="lmms-eval must be installed, got none. Run: pip install"):
        importlib.import_module("bus_toolkit.bridges.lmms_eval")
