"""What a model can be asked, by its heads: a line of Python for each, and the task's name on hubs."""

from __future__ import annotations

from typing import Any, NamedTuple

from bus_toolkit.heads import CaptionHead, ClassificationHead, GroundingHead, ITCHead, VLPHead, VQAHead, find_head


class Use(NamedTuple):
    """The head that is asked, a line that asks it, and what Hugging Face's hub calls the task; empty if it has none."""

    head: type[VLPHead]
    call: str
    hub_task: str


_USES = (
    Use(VQAHead, 'print(model.answer("photo.png", "what is on the left"))', "visual-question-answering"),
    Use(ClassificationHead, 'print(model.answer("photo.png", "what is on the left"))', "visual-question-answering"),
    Use(CaptionHead, 'print(model.caption("photo.png"))', "image-to-text"),
    Use(GroundingHead, 'print(model.ground("photo.png", "the red disc"))', ""),
    Use(ITCHead, 'print(model.retrieve(["one.png", "two.png"], ["a red disc", "a blue crate"]))', ""),
)


def uses_of(model: Any) -> list[Use]:
    """Return what a model can be asked."""
    heads = getattr(model, "heads", {}).values()
    return [use for use in _USES if find_head(heads, use.head) is not None]
