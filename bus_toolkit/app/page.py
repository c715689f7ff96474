"""The files of the page: fixed ones of the package, read at the start, served by their exact paths."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def page_files() -> dict[str, tuple[str, bytes]]:
    """Return for each path the kind of its content and the content."""
    files = {f"/{path.name}": (_KINDS[path.suffix], path.read_bytes()) for path in _FOLDER.iterdir()}
    return files | {"/": files["/index.html"]}
