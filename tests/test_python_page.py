"""Every example of bus_toolkit/README.md runs as it is, in its order, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from bus_toolkit.ops import KeptPatches
from bus_toolkit.structures import VisualTokens

PAGE = (Path(__file__).parents[1] / "bus_toolkit/README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run the blocks one after the other in one namespace; return it, the printed text of each and their folder."""
    folder, names, printed = tmp_path_factory.mktemp("page"), {}, []
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    try:
        for block in BLOCKS:
            lines: list[str] = []
            names["print"] = lambda *values, lines=lines: lines.append(" ".join(map(str, values)))
            exec(compile(block, "bus_toolkit/README.md", "exec"), names)
            printed.append("\n".join(lines) + "\n")
    finally:
        patch.undo()
    return names, printed, folder


def test_the_page_prints_what_it_shows(ran):
    assert ran[1][0] == SHOWN[0]


def test_a_selector_in_ones_own_vit_keeps_a_share(ran):
    assert "torch.Size([2, 18, 64]) KeptPatches(2 images, 16 of 64 patches kept, grid 8 x 8)" in ran[1][1]


def test_what_was_kept_is_typed(ran):
    names, printed, folder = ran
    visual, kept = names["visual"], names["kept"]
    assert isinstance(visual, VisualTokens) and isinstance(kept, KeptPatches)
    assert kept.counts.tolist() == [16, 16] and kept.on_grid.shape == (2, 8, 8)
    assert [len(rows) for rows in kept.indices] == [len(rows) for rows in kept.boxes(90, 120)] == [16, 16]
    assert (folder / "kept.png").stat().st_size > 1000


def test_the_loop_trains_fills_the_queue_and_saves(ran):
    names, _, folder = ran
    assert {"loss_itc", "loss_itm", "loss_mlm"} <= set(names["figures"])
    assert torch.isfinite(names["total"]) and (names["own"].heads["itc"].queue_ids >= 0).sum() == 8
    assert set(torch.load(folder / "own.pth")) == set(names["own"].state_dict())


def test_every_fact_of_the_tables_of_types_holds():
    from bus_toolkit.backbones.adapters import known_classes

    assert all(f"`{name}`" in PAGE for package in ("timm", "transformers") for name in known_classes(package))


def test_the_package_says_that_it_is_typed():
    import bus_toolkit

    assert (Path(bus_toolkit.__file__).parent / "py.typed").is_file()
