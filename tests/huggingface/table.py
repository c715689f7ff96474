"""Measure the contract on every family and write it into a page: ``python -m tests.huggingface.table``.

The page has a section for each major of transformers; a run writes that of the installed one and leaves the other.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import fill

import torch
import transformers

from bus_toolkit.huggingface import family_of
from tests.huggingface.contract import ANSWERS, CHECKS, MORE
from tests.huggingface.contract.check import Check, Measured
from tests.huggingface.tiny import FAMILIES, Tiny, build

PAGE = Path(__file__).parents[2] / "tools" / "FAMILIES.md"
INTRODUCTION = """\
# Families of vision-language models

What [`reduce_tokens`](../registry_configs/LANGUAGE_MODELS.md) keeps on every family and with both majors of
transformers, as measured on tiny random models made from configs (float32, two CPU cores; no weights, no photographs).
`python -m tests.huggingface.table` measures it with the transformers that is installed and writes its section; `make
test` and `make test-transformers-5` run the same checks. Differences are the largest ones, of logits of about 10; where
a column has no bound, anything but 0 fails.
"""


def rows(families: Iterable[str], show: Callable[[str], object] = lambda line: None) -> dict[str, dict[str, Measured]]:
    """Run all checks on some families and return what was measured, by family and title.

    Args:
        families: Of ``tests.huggingface.tiny.FAMILIES``.
        show: Called with a line for each measure.
    """
    found: dict[str, dict[str, Measured]] = {}
    for family in families:
        tiny = build(family)
        name = family_of(tiny.model).name
        found[name] = {}
        for check in CHECKS:
            measured = found[name][check.title] = _measured(check, tiny)
            show(f"{name}: {check.title}: {measured.shown}")
    return found


def _measured(check: Check, tiny: Tiny) -> Measured:
    measured = check.measure(tiny)
    return measured if measured.worst <= check.bound else Measured(measured.worst, f"**{measured.shown}**")


def section(found: Mapping[str, Mapping[str, Measured]]) -> str:
    """Return the section of the transformers that is installed."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}."
    lines = [f"## transformers {transformers.__version__}", "", versions, ""]
    for checks in (ANSWERS, MORE):
        titles = [check.title for check in checks]
        lines += [f"| family | {' | '.join(titles)} |", f"| --- |{' --- |' * len(titles)}"]
        lines += [f"| {name} | {' | '.join(row[title].shown for title in titles)} |" for name, row in found.items()]
        lines.append("")
    return "\n".join(lines)


def legend() -> str:
    """Return the introduction with what each column means."""
    bounds = {check.title: f" (at most {check.bound:g})" if check.bound else "" for check in CHECKS}
    lines = [
        fill(f"- **{one.title}**{bounds[one.title]}: {one.says}.", 128, subsequent_indent="  ", break_on_hyphens=False)
        for one in CHECKS
    ]
    return "\n".join([INTRODUCTION, *lines, "", ""])


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by the majors that they are of."""
    parts = re.split(r"^(?=## transformers )", page, flags=re.MULTILINE)[1:]
    return {part.split()[2].split(".")[0]: part for part in parts}


def page(written: str, own: str) -> str:
    """Return a page with a section in place of that of the same major."""
    kept = {**sections(written), **sections(own)}
    return legend() + "\n".join(kept[major].rstrip("\n") + "\n" for major in sorted(kept))


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    result = rows(FAMILIES, lambda line: print(line, flush=True))
    PAGE.write_text(page(PAGE.read_text() if PAGE.exists() else "", section(result)))
    sys.exit(any(one.shown.startswith("**") for row in result.values() for one in row.values()))
