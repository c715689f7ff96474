"""The sourced values read as they are described, and the page about them is up to date."""

import re

import pytest

from tests.recipes import page, sourced

RECIPES = sourced.recipes()


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.render(), "run: python -m tests.recipes.page"


@pytest.mark.parametrize("stem", sourced.FILES)
def test_every_entry_names_a_place_that_was_read(stem: str) -> None:
    content = sourced.read_file(stem)
    parts = [*content["groups"].values(), *(recipe["values"] for recipe in content["recipes"].values())]
    for entry in (entry for entries in parts for entry in entries):
        assert set(entry) <= {"name", "value", "source", "note"}, entry
        repository = entry["source"].split(":")[0]
        cited = repository in sourced.repositories() or re.match(r"arXiv \d|third-party reading note", repository)
        assert cited, f"{entry['name']}: {entry['source']}"


@pytest.mark.parametrize("stem", sourced.FILES)
def test_no_name_is_written_twice_in_one_list(stem: str) -> None:
    content = sourced.read_file(stem)
    for entries in (*content["groups"].values(), *(recipe["values"] for recipe in content["recipes"].values())):
        names = [entry["name"] for entry in entries]
        assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_rates_are_numbers() -> None:  # YAML 1.1 reads 1e-4 as text
    for recipe in RECIPES.values():
        text = [
            v.name
            for v in recipe.values.values()
            if isinstance(v.value, str) and re.fullmatch(r"[\d.]+e?-?\d*", v.value)
        ]
        assert text == [], recipe.name


def test_what_is_known_is_not_listed_as_unknown() -> None:
    for recipe in RECIPES.values():
        assert not recipe.values.keys() & recipe.unknown.keys(), recipe.name


def test_a_recipe_replaces_what_it_includes() -> None:
    assert RECIPES["albef_pretrain"].values["batch.per_gpu"].value == 64
    assert RECIPES["elip_albef_pretrain"].values["batch.per_gpu"].value == 40
    assert RECIPES["elip_albef_pretrain"].values["optim.lr"] == RECIPES["albef_pretrain"].values["optim.lr"]


def test_batches_multiply_to_their_total() -> None:
    for recipe in RECIPES.values():
        values = {
            name: recipe.values[f"batch.{name}"].value
            for name in ("per_gpu", "gpus", "total")
            if f"batch.{name}" in recipe.values
        }
        if (
            len(values) == 3 and "meter" not in recipe.name and "vilt" not in recipe.name
        ):  # those two accumulate to the total
            accumulate = recipe.values["batch.accumulate"].value if "batch.accumulate" in recipe.values else 1
            assert values["per_gpu"] * values["gpus"] * accumulate == values["total"], recipe.name
