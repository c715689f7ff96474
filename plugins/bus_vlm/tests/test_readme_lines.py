"""The lines of the README that put a selector into a language model run word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.huggingface.tiny import GENERATION, build

README = (Path(__file__).parents[3] / "README.md").read_text()


def test_two_lines_reduce_a_model() -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", README.split("## Recipe 4")[1].split("\n## ")[0], flags=re.DOTALL)
    tiny = build("qwen2_5_vl")
    for name in ("suppress_tokens", "pad_token_id"):
        setattr(tiny.model.generation_config, name, GENERATION[name])
    inputs = tiny.batch()
    names: dict[str, Any] = {"model": tiny.model, "inputs": inputs}
    exec(lines, names)
    width = inputs["input_ids"].shape[1]
    assert names["answer"].shape[0] == 2 and width < names["answer"].shape[1] <= width + 64
    assert not tiny.model.get_decoder()._forward_pre_hooks, "the selector has gone"
