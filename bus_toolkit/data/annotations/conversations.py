"""Files of dialogs about images, in the form of LLaVA's data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.coco_boxes import read_json
from bus_toolkit.errors import DataError

IMAGE = "<image>"
"""The mark of the image in a question."""
_FORM = (
    'It needs LLaVA\'s form: [{"id", "image": "<path>", "conversations": [{"from": "human", "value": "<image>\\n..."}, '
    '{"from": "gpt", "value": "..."}, ...]}, ...].'
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A dialog about an image.

    Attributes:
        sample_id: The id of the entry; its number where it has none.
        image: The path as it is in the file.
        turns: Questions and answers; the last answer may be missing (``None``).
        problem: What is wrong with the entry; empty if nothing is, and then there is a turn at least.
    """

    sample_id: int | str
    image: str
    turns: tuple[tuple[str, str | None], ...]
    problem: str = ""


def read_conversations(path: str, location: str) -> list[Conversation]:
    """Return the dialogs of a file in its order; what cannot be used is noted in ``problem``.

    Args:
        path: JSON.
        location: The setting, for messages.

    Raises:
        DataError: The file cannot be read, or is no list of entries.
    """
    content = read_json(path, location)
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{location}: {path} holds no list of conversations. {_FORM}")
    if not any("conversations" in entry for entry in content):
        raise DataError(f"{location}: {path}: no entry has conversations, got {', '.join(content[0])}. {_FORM}")
    return [_read(entry, number) for number, entry in enumerate(content)]


def _read(entry: dict[str, Any], number: int) -> Conversation:
    sample_id, image = entry.get("id", number), entry.get("image")
    if isinstance(image, list) and len(image) == 1:  # LLaVA-NeXT's data has lists of images
        image = image[0]
    problem = next(_problems(image, entry.get("conversations")), "")
    if problem or not isinstance(image, str):
        return Conversation(sample_id, "", (), problem)
    texts = [message["value"].strip() for message in entry["conversations"]]
    answers = [*texts[1::2], None]
    return Conversation(sample_id, image, tuple(zip(texts[::2], answers, strict=False)))


def _problems(image: Any, messages: Any) -> Iterator[str]:
    """Yield what is wrong with an entry."""
    if image is None:
        yield "it has no image; dialogs without one are not read"
    elif isinstance(image, list):
        yield f"it has {len(image)} images; a dialog has one"
    elif not isinstance(image, str) or not image.strip():
        yield f"the image must be a path, got {image!r}"
    if not isinstance(messages, list) or not messages:
        yield "its conversations are no list of messages"
        return
    if len(messages) == 1:
        yield "it has one message; a dialog needs an answer, which is what is learned and judged"
    for place, message in enumerate(messages):
        speaker = ("human", "gpt")[place % 2]
        if not isinstance(message, dict) or message.get("from") != speaker:
            yield f"message {place + 1} must be from {speaker}, got {_sender(message)}"
            return
        text = message.get("value")
        if not isinstance(text, str) or is_blank(text.replace(IMAGE, "")):
            yield f"message {place + 1} must have text as its value, got {repr(text)[:40]}"
            return
        count = text.count(IMAGE)
        if count > int(place == 0):
            yield f"message {place + 1} has {count} times {IMAGE}; a dialog has one image, in its first question"
            return


def _sender(message: Any) -> str:
    """Say who a message is from; other forms of such data have other keys."""
    if isinstance(message, dict) and "from" not in message:
        return f"one with {', '.join(map(str, message))[:40] or 'nothing'} in place of from and value"
    return repr(message["from"] if isinstance(message, dict) else message)[:40]
