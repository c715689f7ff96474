"""Multiply-accumulate operations of an answer by part: tower, projector, each layer, head; and of later tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from bus_toolkit.analysis.macs import Method, count_macs, count_macs_by_part
from bus_toolkit.huggingface.families import decoder_of, part_of
from bus_toolkit.huggingface.reduction import Reduction
from bus_toolkit.vlm_benchmark.generation import answer

# Tower and projectors of each type of model; a projector inside the tower counts for itself.
_QWEN = ("visual", ("visual.merger",))
_CLIP_LIKE = ("vision_tower", ("multi_modal_projector",))
_IDEFICS = ("vision_model", ("connector",))
_PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl"), _QWEN),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe"), ("visual", ("visual.merger", "visual.deepstack_merger_list"))),
    **dict.fromkeys(("llava", "internvl", "paligemma"), _CLIP_LIKE),
    **dict.fromkeys(("idefics3", "smolvlm"), _IDEFICS),
}


@dataclass(frozen=True)
class AnswerMacs:
    """MACs of a batch.

    Attributes:
        tower: The vision tower, without what is below.
        projector: What makes visual tokens of its patches.
        layers: Each layer of the language model in the prefill.
        selection: What selectors compute.
        rest: The head, which reads the last token of each prompt.
        later_token: One token after the first, of each prompt: the mean of all of them.
    """

    tower: int
    projector: int
    layers: tuple[int, ...]
    selection: int
    rest: int
    later_token: float

    @property
    def prefill(self) -> int:
        """Until the first token."""
        return self.tower + self.projector + sum(self.layers) + self.selection + self.rest

    def of_answer(self, num_tokens: int) -> float:
        """Return those of an answer of ``num_tokens`` tokens."""
        return self.prefill + (num_tokens - 1) * self.later_token

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        return {**asdict(self), "prefill": self.prefill}


def count_answer(model: Any, inputs: Mapping[str, Tensor], num_tokens: int, reduction: Reduction | None) -> AnswerMacs:
    """Count an answer of ``num_tokens`` tokens, 2 or more; the model is run twice."""
    tower, projectors = _PARTS[model.config.model_type]
    layers: Any = decoder_of(model).layers
    parts: dict[str, list[Method]] = {
        "tower": [(part_of(model, tower), "forward")],
        "projector": [method for path in projectors for method in _methods(model, path)],
        "selection": [(selector, "forward") for selector in (reduction.selectors if reduction else ())],
        **{f"layer {number}": [(layer, "forward")] for number, layer in enumerate(layers, 1)},
    }
    found = count_macs_by_part(lambda: answer(model, inputs, 1), parts, rest="rest")
    whole = count_macs(lambda: answer(model, inputs, num_tokens))
    return AnswerMacs(
        found["tower"],
        found["projector"],
        tuple(found[f"layer {number}"] for number in range(1, len(layers) + 1)),
        found["selection"],
        found["rest"],
        (whole - sum(found.values())) / (num_tokens - 1),
    )


def _methods(model: Any, path: str) -> list[Method]:
    """Return the method in which a part works; those of its items, where it is a list of modules."""
    part = model
    for name in path.split("."):
        part = part_of(model, name) if part is model else getattr(part, name)
    return [(one, "forward") for one in (part if hasattr(part, "append") else [part])]
