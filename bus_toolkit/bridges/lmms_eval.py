"""A reduced model for lmms-eval: ``lmms_eval --model bus_toolkit --model_args folder=FOLDER,reduction=FILE``.

The interface is that of EvolvingLMMs-Lab/lmms-eval at 75571cf (0.7.2): lmms_eval/api/model.py, the class ``lmms``;
requests of chat models as lmms_eval/api/task.py, ``ConfigurableMessagesTask``, makes them; rounds as
lmms_eval/models/chat/aero_realtime_vllm.py runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from typing_extensions import override

from bus_toolkit.bridges.reduced_model import Conversation, ReducedModel, load_reduced
from bus_toolkit.errors import ConfigError
from bus_toolkit.huggingface.loading import Dtype

try:
    from lmms_eval.api.model import lmms
except ImportError as error:
    raise ConfigError(
        "bus_toolkit.bridges.lmms_eval: lmms-eval must be installed, got none. Run: pip install "
        "git+https://github.com/EvolvingLMMs-Lab/lmms-eval.git"
    ) from error

# Theirs for a chat model (lmms_eval/models/chat/qwen2_5_vl.py).
_MOST_NEW_TOKENS = 128
_SAMPLING = ("temperature", "top_p", "top_k", "num_beams")


class ReducedLMMS(lmms):
    """Answer tasks that are generated; those scored by likelihood have a generated form in lmms-eval.

    Args:
        folder: Local folder of model and processor.
        reduction: A YAML file of arguments of ``reduce_tokens``; ``None`` for the model as it is.
        device: As torch writes it.
        dtype: Of the weights.
        batch_size: Requests at a time.
        system_prompt: What conversations begin with; a file's content, if it names one.
        reduced: A model that is loaded already, in place of a folder.

    Raises:
        ConfigError: Neither a folder nor a model.
    """

    is_simple = False

    def __init__(
        self,
        folder: str | None = None,
        reduction: str | Mapping[str, Any] | None = None,
        *,
        device: str | None = None,
        dtype: Dtype = "bfloat16",
        batch_size: int | str = 1,
        system_prompt: str = "",
        reduced: ReducedModel | None = None,
    ) -> None:
        super().__init__()
        self.reduced = reduced or load_reduced(folder, reduction, device=device, dtype=dtype)
        self.batch_size = int(batch_size)
        self.system_prompt = self._resolve_system_prompt(system_prompt)

    @property
    def device(self) -> Any:
        """Where the model is; their evaluator asks for it."""
        return self.reduced.device

    @override
    def generate_until(self, requests: list[Any]) -> list[str]:
        answers: list[str] = []
        # One batch has one kind of settings; requests of a task follow each other.
        for settings, together in groupby(requests, key=lambda request: request.args[2]):
            alike = list(together)
            for start in range(0, len(alike), self.batch_size):
                batch = alike[start : start + self.batch_size]
                given = self._answers([self._conversation(one.args[1](self._doc(one))) for one in batch], settings)
                for request, answer in zip(batch, given, strict=True):
                    self.cache_hook.add_partial("generate_until", (request.args[0], settings), answer)
                answers += given
        return answers

    @override
    def generate_until_multi_round(self, requests: list[Any]) -> list[list[str]]:
        return [list(self._rounds(request)) for request in requests]

    @override
    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        raise ConfigError(
            "bus_toolkit: lmms-eval asks chat models for generated answers, got a request for likelihoods. Choose the "
            "generated form of the task."
        )

    @override
    def clean(self) -> None:
        del self.reduced  # theirs lets go of modules that are attributes: a judge may need the memory
        super().clean()

    def _rounds(self, request: Any) -> Iterator[str]:
        """Yield the answers of one conversation, whose task asks on by what was answered."""
        _, messages_of, settings, *_ = request.args
        doc = self._doc(request)
        messages, outputs, info = messages_of(doc), list[str](), None
        while True:
            outputs += self._answers([self._conversation(messages)], settings)
            yield outputs[-1]
            following = messages_of(doc, round_idx=len(outputs), previous_output=[*outputs], previous_round_info=info)
            if not (isinstance(following, tuple) and len(following) == 4):
                return
            messages, ends, _, info = following
            if ends:
                return

    def _doc(self, request: Any) -> Any:
        *_, number, task, split = request.args
        return self.task_dict[task][split][number]

    def _conversation(self, messages: Sequence[Mapping[str, Any]]) -> Conversation:
        """Return messages as templates of transformers take them: what is under ``url`` is under its type there."""
        made = [{"role": one["role"], "content": [_content(part) for part in one["content"]]} for one in messages]
        return self._apply_system_prompt(made, self.system_prompt)

    def _answers(self, conversations: Sequence[Conversation], settings: Mapping[str, Any]) -> list[str]:
        sampled = (settings.get("temperature") or 0) > 0
        # Without sampling its settings are taken away, also those that a folder brings.
        chosen = {name: settings.get(name) for name in _SAMPLING if sampled or name == "num_beams"}
        unset = {} if sampled else dict.fromkeys(name for name in _SAMPLING if name != "num_beams")
        answers = self.reduced.answers(
            conversations,
            max_new_tokens=settings.get("max_new_tokens", _MOST_NEW_TOKENS),
            do_sample=sampled,
            **unset,
            **{name: value for name, value in chosen.items() if value is not None},
        )
        ends = settings.get("until") or ()
        for end in [ends] if isinstance(ends, str) else ends:
            answers = [answer.split(end)[0] if end else answer for answer in answers]
        return answers


def _content(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    return {"type": "text", "text": part["text"]} if kind == "text" else {"type": kind, kind: part["url"]}
