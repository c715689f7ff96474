"""The card says what the model is, with figures that are counted, and texts of others have no effect in it."""

from __future__ import annotations

import copy
import re

import pytest
import yaml

from bus_toolkit.analysis.meta_macs import MacCounter
from bus_toolkit.config import load_config
from bus_toolkit.json_text import dump_json
from bus_toolkit.pretrained.card import shown
from bus_toolkit.pretrained.recipe import results_of, training_record


@pytest.fixture(scope="module")
def card(saved):
    return (saved / "README.md").read_text()


def test_it_has_each_section_and_the_header_of_a_hub(card):
    _, header, text = card.split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "apache-2.0"
    assert yaml.safe_load(header)["pipeline_tag"] == "visual-question-answering"
    titles = re.findall("^## (.*)$", text, flags=re.MULTILINE)
    assert titles == [
        *("Use", "Data", "Recipe", "What is sourced, and what is a reconstruction", "Measured costs"),
        *("Results", "Licence"),
    ]
    assert 'bus_toolkit.from_pretrained("toy")' in text and "model.ground(" in text
    assert "The formulas were not readable; what follows is our reconstruction" in text


def test_costs_are_counted(card, trained):
    counter = MacCounter("forward", trained.model.tokenizer.max_length, scope="pair", device="cpu")
    half_way = {"model.selectors.0.keep_ratio": trained.model.backbone.selectors[0].keep_ratio}
    config = load_config(f"{trained.source}/config.yaml", half_way)
    macs = f"| {counter.macs(config.model) / 1e6:,.1f} million |"
    assert f"| multiply-accumulates of a text with its image, up to their fusion {macs}" in card
    assert "block 1: " in card and "| 32 x 32 pixels, 4 x 4 patches |" in card


def test_results_are_those_of_the_test_before_those_of_a_validation(tmp_path):
    assert results_of(None) is None and results_of(tmp_path) is None
    for stage, value in (("val", 0.25), ("test", 0.5)):
        (tmp_path / "report" / stage).mkdir(parents=True)
        content = {"metrics": {"a/b": value, "text": "x"}}
        (tmp_path / "report" / stage / "results.json").write_text(dump_json(content))
        results = results_of(tmp_path)
        assert dict(results.metrics) == {"a/b": value}
        assert results.split == {"val": "validation", "test": "test"}[stage]


def test_places_on_the_machine_are_no_part_of_the_record():
    record = training_record({"work_dir": "x", "a": ["/home/me/photos", {"b": "~/c.csv"}], "d": "data/own", "e": 1})
    assert record == {"a": ["photos", {"b": "c.csv"}], "d": "data/own", "e": 1}


def test_texts_of_others_have_no_effect():
    assert shown("a|b <script>\n`x` [y](z) *c*") == r"a\|b &lt;script&gt; \`x\` \[y\](z) \*c\*"


def test_names_and_configs_of_others_stay_within_their_marks(trained, tmp_path, monkeypatch):
    cfg = copy.deepcopy(trained.cfg)
    cfg.train_dataloader = {"dataset": {"type": "Own", "note": "``` and <b>"}}
    monkeypatch.setattr(trained, "cfg", cfg)
    folder = trained.save_pretrained(tmp_path / 'a"b')
    text = (folder / "README.md").read_text()
    assert 'from_pretrained("a\\"b")' in text
    assert "````yaml\ntype: Own\nnote: '``` and <b>'\n````" in text
