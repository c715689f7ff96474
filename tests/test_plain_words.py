"""Names, messages, docstrings and pages use plain words: a list of those that readers stumbled over is refused."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Left: said before; right: what says it plainly.
PLAIN = {
    "told": "reported",
    "lack": "have no",
    "lacks": "has no",
    "lacked": "had no",
    "anew": "again",
    "mended": "fixed",
    "reckoned": "counted",
    "in front of": "before",
    "behind": "after",
    "stand": "be",
    "stands": "is",
    "tells": "reports",
    "one of either": "one image, or one text",
}
WORDS = re.compile(rf"(?<![a-z])({'|'.join(PLAIN)})(?![a-z])", re.IGNORECASE)
FILES = sorted(
    path
    for folder in ("bus_toolkit", "plugins", "registry_configs", "tools")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".yaml", ".yml", ".sh", ".txt"} and path.parent.name != "vocab"
) + sorted(ROOT.glob("*.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_makes_a_reader_stumble(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        for word in WORDS.findall(line):
            pytest.fail(f"{path.relative_to(ROOT)}:{number}: {word!r}. Write {PLAIN[word.lower()]!r} or the like.")
