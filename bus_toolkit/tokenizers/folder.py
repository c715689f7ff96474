"""The tokenizer of any language model in a local folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors
from typing_extensions import override

from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.tokenizers.base import Marks, TextTokenizer

_NAME = "FolderTokenizer"


class FolderTokenizer(TextTokenizer):
    """Split text as the language model of a folder does (``tokenizer.json``). Slot: ``model.tokenizer``.

    For the models of ``CausalLMFolder``. Texts are start mark, words, end mark; what the folder's own post-processor
    adds is left out. Marks are the folder's ``bos_token``, ``eos_token`` and ``pad_token``; in the place of one that it
    does not have, or that is the same as another, comes ``unk_token`` or another special token (our choice). A folder
    without ``mask_token`` has padding for it, and ``MLMHead`` refuses that.

    Args:
        folder: Local folder with ``tokenizer.json``, as ``save_pretrained`` of a fast tokenizer writes it.
        max_length: Most tokens of a text, both marks included.
        lengths: Pad to one of these, ascending, that holds all texts of a batch, or to ``max_length``: few shapes for a
            compiled model. ``[]`` pads to the longest text.
        start_token: What begins a text, in place of the folder's.
        end_token: What ends a text, in place of the folder's.
        pad_token: Padding, in place of the folder's.

    Raises:
        DataError: Files are missing or damaged, or there are too few special tokens.
    """

    def __init__(
        self,
        *,
        folder: str,
        max_length: int = 256,
        lengths: Sequence[int] = (),
        start_token: str | None = None,
        end_token: str | None = None,
        pad_token: str | None = None,
    ) -> None:
        path = expand_home(folder)
        backend = _backend(path)
        named = {**_named_tokens(path), **_given(bos_token=start_token, eos_token=end_token, pad_token=pad_token)}
        marks = _marks(backend, named, path)
        ends = [(mark, backend.token_to_id(mark)) for mark in (marks.start, marks.end)]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{marks.start} $A {marks.end}", special_tokens=ends
        )
        super().__init__(backend, max_length=max_length, marks=marks, lengths=lengths)
        self._vocab_size = max(self._vocab_size, _rows_of_model(path))

    @override
    def decode(self, ids: Any) -> str:
        special = set(self.special_ids)
        return self._backend.decode([int(number) for number in ids if int(number) not in special]).strip()


def _backend(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise DataError(
            f"{_NAME}.folder: {folder} holds no tokenizer.json. Save the tokenizer there with transformers: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 (the library raises Exception itself)
        raise DataError(f"{_NAME}.folder: {file} is no tokenizer: {error}. Copy it again.") from error


def _named_tokens(folder: Path) -> dict[str, str]:
    """Return special tokens by what they are for, such as ``eos_token``."""
    named: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, value in _read(folder / name).items():
            token = value.get("content") if isinstance(value, Mapping) else value
            if key.endswith("_token") and isinstance(token, str):
                named[key] = token
    return named


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{_NAME}.folder: {file} is not JSON: {error}. Copy it again.") from error
    return content if isinstance(content, Mapping) else {}


def _given(**tokens: str | None) -> dict[str, str]:
    return {name: token for name, token in tokens.items() if token is not None}


def _marks(backend: Tokenizer, named: Mapping[str, str], folder: Path) -> Marks:
    special = [token.content for token in backend.get_added_tokens_decoder().values() if token.special]
    used: list[str] = []

    def take(role: str, *others: str) -> str:
        """Return the first of some tokens that has an id and is no other mark."""
        candidates = [named.get(role), *others]
        known = (one for one in candidates if one and backend.token_to_id(one) is not None)
        found = next((one for one in known if one not in used), None)
        if found is None:
            raise DataError(
                f"{_NAME}.folder: {folder} has no token for {role} (special tokens: {', '.join(special) or 'none'}). "
                "Name entries of the vocabulary as start_token, end_token and pad_token."
            )
        used.append(found)
        return found

    end = take("eos_token")
    unknown = named.get("unk_token", "")
    start = take("bos_token", *(token for token in special if token not in (named.get("pad_token"), unknown)))
    pad = take("pad_token", unknown, *special)
    mask = named.get("mask_token", pad)
    return Marks(pad, unknown if backend.token_to_id(unknown) is not None else "", start, end, mask)


def _rows_of_model(folder: Path) -> int:
    """Return how many entries the model in the folder has embeddings for; often more than there are tokens."""
    config = _read(folder / "config.json")
    inner = config.get("text_config")
    sizes = [config.get("vocab_size"), inner.get("vocab_size") if isinstance(inner, Mapping) else None]
    return max((size for size in sizes if isinstance(size, int)), default=0)
