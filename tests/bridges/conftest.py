"""A tiny LLaVA with a processor in a folder, and others' base classes in place of their packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

from tests.huggingface.tiny import IMAGE, build

_TEMPLATE = (
    "{% for message in messages %}{{ message.role }} {% for part in message.content %}"
    "{% if part.type == 'image' %}<image> {% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant{% endif %}"
)
_WORDS = ("user", "assistant", "system", "what", "is", "this", "a", "red", "disc", "brief", "be", "again")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose words 20 to 31 are those above; all others are w<number>."""
    path = tmp_path_factory.mktemp("model")
    tiny = build("llava")
    tiny.model.generation_config.suppress_tokens = [0, IMAGE]
    tiny.model.generation_config.pad_token_id = 0
    tiny.model.save_pretrained(path)
    names = {number: f"w{number}" for number in range(128)}
    names |= {0: "<pad>", IMAGE: "<image>", **dict(zip(range(20, 32), _WORDS, strict=True))}
    tokenizer = Tokenizer(WordLevel({name: number for number, name in names.items()}, unk_token="w1"))
    tokenizer.pre_tokenizer = Whitespace()
    read = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="w1", model_input_names=read
    )
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        images,
        fast,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE,
    ).save_pretrained(path)
    return path


@pytest.fixture
def stand_in(request: pytest.FixtureRequest) -> Iterator[dict[str, ModuleType]]:
    """Put modules in place of a package's; ``request.param`` maps names to their contents."""
    made: dict[str, ModuleType] = {}
    for name, content in request.param.items():
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            made.setdefault(".".join(parts[:depth]), ModuleType(".".join(parts[:depth])))
        vars(made[name]).update(content)
    before = {name: sys.modules.get(name) for name in made}
    ours = {name for name in sys.modules if name.startswith("bus_toolkit.bridges.")}
    sys.modules.update(made)
    try:
        yield made
    finally:
        _put_back(before)
        for name in {name for name in sys.modules if name.startswith("bus_toolkit.bridges.")} - ours:
            del sys.modules[name]


def _put_back(before: dict[str, Any]) -> None:
    for name, module in before.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module
