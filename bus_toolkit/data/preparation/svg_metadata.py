"""Read the Dublin Core metadata of an SVG: title, description and keywords."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

# A picture has a few kilobytes of metadata in its head; more than that is not metadata.
_MOST_TEXT = 100_000


@dataclass
class SvgMetadata:
    """The ``cc:Work`` of an SVG. A text that is not there is empty; white space is one blank."""

    title: str = ""
    description: str = ""
    tags: list[str] = field(default_factory=list)
    creators: list[str] = field(default_factory=list)


class _Done(Exception):
    """All that is wanted has been read."""


def read_svg_metadata(content: bytes) -> SvgMetadata:
    """Read the metadata of an SVG; the drawing after it is not read.

    Safe for files from anywhere: a document that declares an entity is refused before one is expanded, and expat loads
    no external entity or DTD unless it is given a handler for them, which it is not.

    Raises:
        ValueError: It is no XML, or declares entities.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(content, True)
    except _Done:
        pass
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from error
    return reader.metadata


def _refuse_entity(name: str, *_: object) -> None:
    raise ValueError(f"declares the entity {name!r}")


class _Reader:
    """Handlers of expat that follow the path of open elements, by their names without namespace."""

    def __init__(self) -> None:
        self.metadata = SvgMetadata()
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        self._path.append(name.rsplit(" ", 1)[-1])
        self._text.clear()

    def text(self, data: str) -> None:
        if "Work" not in self._path:
            return
        self._length += len(data)
        if self._length > _MOST_TEXT:
            raise ValueError(f"more than {_MOST_TEXT} characters of metadata")
        self._text.append(data)

    def end(self, _: str) -> None:
        text = " ".join("".join(self._text).split())
        self._text.clear()
        match self._path:
            case [*_, "Work", "title"]:
                self.metadata.title = text
            case [*_, "Work", "description"]:
                self.metadata.description = text
            case [*_, "subject", _, "li"] if text:
                self.metadata.tags.append(text)
            case [*_, "creator" | "rights", "Agent", "title"] if text:
                self.metadata.creators.append(text)
            case [*_, "Work"]:
                raise _Done
        self._path.pop()
