"""Pages that need no network: their frame, their colours in light and dark, and texts of others on them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from bus_toolkit.safe_text import safe_lines

FRAME = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #5b6270; --ground: #ffffff; --line: #d9dce4; --band: #f4f5f8;
  --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --soft: #a9b0bf; --ground: #14171e; --line: #343a48;
  --band: #1d222c; --accent: #6bb8e8; } }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--ground); }
h1, h2, h3 { line-height: 1.25; }
"""


def shown(text: object) -> str:
    """Return a text of others for the inside of a page: no markup, and no characters that steer the direction."""
    return escape(safe_lines(str(text)))


def whole_page(title: str, style: str, script: str, parts: Iterable[str]) -> str:
    """Return a page that may fetch nothing and run no script but this one, whatever a text on it holds.

    Args:
        title: Of the window, a text of others.
        style: CSS, after ``FRAME``.
        script: JavaScript, or nothing.
        parts: What is between the tags of the body.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{shown(title)}</title>\n<style>{FRAME}{style}</style>\n</head>\n<body>",
            *parts,
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def text_table(heads: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return a table of texts in a box that scrolls sideways by itself; the first of each row is its head."""
    head = "".join(f'<th scope="col">{_lines(text)}</th>' if text else "<td></td>" for text in heads)
    body = "\n".join(
        f'<tr><th scope="row">{shown(first)}</th>{"".join(f"<td>{shown(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    name = f"<caption>{shown(caption)}</caption>" if caption else ""
    label = shown(caption or "table")
    return (
        f'<div class="wide" role="group" tabindex="0" aria-label="{label}">'
        f"<table>{name}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _lines(text: str) -> str:
    return shown(text).replace("\n", "<br>")
