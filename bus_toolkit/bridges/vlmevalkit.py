"""A reduced model for VLMEvalKit, which finds models by their name in its table.

The interface is that of open-compass/VLMEvalKit at e8e78f0: vlmeval/vlm/base.py, ``BaseModel``, whose ``generate`` and
``chat`` check messages and call ``generate_inner`` and ``chat_inner``; vlmeval/config.py, ``supported_VLM``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from typing_extensions import override

from bus_toolkit.bridges.reduced_model import ReducedModel, load_reduced
from bus_toolkit.errors import ConfigError
from bus_toolkit.huggingface.loading import Dtype

try:
    from vlmeval.vlm.base import BaseModel
except ImportError as error:
    raise ConfigError(
        "bus_toolkit.bridges.vlmevalkit: VLMEvalKit must be installed, got none. Run: git clone "
        "https://github.com/open-compass/VLMEvalKit.git && pip install -e VLMEvalKit"
    ) from error


class ReducedVLM(BaseModel):
    """Answer their messages: texts, images and videos in any order.

    Args:
        folder: Local folder of model and processor.
        reduction: A YAML file of arguments of ``reduce_tokens``, or what it holds; ``None`` for the model as it is.
        device: As torch writes it.
        dtype: Of the weights.
        reduced: A model that is loaded already, in place of a folder.
        use_vllm: Theirs, for names such as Qwen2.5-VL; must be false, since another engine runs another model.
        **generation: Arguments of ``generate``; by default greedy, 1024 new tokens at most.

    Raises:
        ConfigError: Neither a folder nor a model, or ``use_vllm``.
    """

    INSTALL_REQ = False
    INTERLEAVE = True
    VIDEO_LLM = True

    def __init__(
        self,
        folder: str | None = None,
        reduction: str | Mapping[str, Any] | None = None,
        *,
        device: str | None = None,
        dtype: Dtype = "bfloat16",
        reduced: ReducedModel | None = None,
        use_vllm: bool = False,
        **generation: Any,
    ) -> None:
        super().__init__()
        if use_vllm:
            raise ConfigError(
                "use_vllm: must be false, since vLLM would run the model without selectors. Leave it out."
            )
        self.reduced = reduced or load_reduced(folder, reduction, device=device, dtype=dtype)
        self.generation = {"max_new_tokens": 1024, "do_sample": False, **generation}

    @override
    def generate_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        return self._answer([{"role": "user", "content": message}])

    def chat_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        """Return the answer to the last message of a conversation."""
        return self._answer(message)

    def _answer(self, messages: Sequence[Mapping[str, Any]]) -> str:
        conversation = [
            {"role": one["role"], "content": [_content(part) for part in one["content"]]} for one in messages
        ]
        return self.reduced.answers([conversation], **self.generation)[0].strip()


def register(name: str, **arguments: Any) -> None:
    """Put a reduced model under ``name`` into their table; ``run.py --model NAME`` of the same process finds it.

    Args:
        name: For ``--model`` and the folders of results.
        **arguments: Of ``ReducedVLM``; it is built when it is asked for.

    Raises:
        ConfigError: The name is theirs.
    """
    from vlmeval.config import supported_VLM

    if name in supported_VLM:
        raise ConfigError(f"name: must not be that of a model of VLMEvalKit, got {name!r}. Add e.g. -reduced.")
    supported_VLM[name] = partial(ReducedVLM, **arguments)


def _content(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    return {"type": kind, kind: part["value"]}
