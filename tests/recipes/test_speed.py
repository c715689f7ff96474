"""What RESULTS.md says about counted speed is what the shipped recipes cost."""

from __future__ import annotations

import pytest

from tests.recipes.speed import counted, rows


def test_the_table_of_the_papers_speed_has_every_system() -> None:
    systems = {row.recipe.split("/")[0] for row in rows()}
    assert systems == {"bus", "copa", "elip", "trips", "neighbours"}


@pytest.mark.slow
def test_a_fast_recipe_costs_what_the_page_says() -> None:
    """One recipe here; ``python -m tests.recipes.speed`` counts all, which takes minutes."""
    (row,) = (row for row in rows() if row.recipe == "bus/bus_base_4m_fast")
    assert row.ratios["pair"][0] == counted(row.recipe, 256, "pair")
