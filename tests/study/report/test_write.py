"""Everything is drawn from the committed results by one command, and drawing it again changes nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bus_toolkit.cli.study_report import COMMAND
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.study.report.drawing import new_axes, plain_name, set_course, set_percent
from bus_toolkit.study.report.figures import file_names
from bus_toolkit.study.report.html_tables import text_table
from bus_toolkit.study.report.labels import name_curves, spread
from bus_toolkit.study.report.markdown_pages import relative_link
from bus_toolkit.study.report.settings import read_settings
from bus_toolkit.study.report.write import write_report
from tests.study.report.fake_study import STUDY, write_run

EVIL = '<script>alert("x")</script> $\\frac|`'
MARKERS = "<!-- study: small -->\nold\n<!-- end of study: small -->\n"
LAW = "  tables: {law: {arms: [text-aware, other], columns: [{task: attribute, keep: 0.11}]}}\n"
TABLE = "<!-- study: small: law -->\n<!-- end of study: small: law -->\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported study of three arms; one of them has a name that a plugin's author made up."""
    folder = tmp_path_factory.mktemp("small")
    text = STUDY.replace(
        "tasks: {attribute", f"pages: [PAGE.md, LAW.md]\n{LAW}  words: {{A<B: one of two}}\n  tasks: {{attribute"
    ).replace("A generated", EVIL)
    (folder / "small.yaml").write_text(text.replace("title: ", "title: '").replace("study\nreport", "study'\nreport"))
    (folder / "PAGE.md").write_text(f"# Results\n\n{MARKERS}\nafter\n")
    (folder / "LAW.md").write_text(f"# Law\n\n{TABLE}")
    for arm, keep, right in (("full", 1.0, 0.9), ("text-aware", 0.11, 0.9), ("plugin", 0.11, 0.4)):
        name = EVIL if arm == "plugin" else arm
        run = write_run(folder / "out", "attribute", arm, keep, 0, right=right, questions=60, result={"arm": name})
        assert run.is_dir()
    assert COMMAND.main([str(folder / "small.yaml"), "--collect", str(folder / "out")]) == 0
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_files_that_do_not_belong_together_are_refused(small: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    file = copy / "results" / "small" / "runs.jsonl"
    whole = file.read_text()
    file.write_text("".join(line for line in whole.splitlines(True) if '"text-aware"' not in line))
    message = "samples.jsonl.gz has text-aware on attribute at keep 0.11, seed 0, and runs.jsonl has not"
    before = files_of(copy)
    with pytest.raises(DataError, match=message):
        write_report(read_settings(copy / "small.yaml"), file.parent)
    assert files_of(copy) == before
    assert COMMAND.main([str(copy / "small.yaml"), "--collect", str(copy / "out")]) == 0, "collecting again mends it"
    assert file.read_text() == whole


def test_drawing_again_changes_nothing(small: Path, tmp_path: Path) -> None:
    before = files_of(small)
    copy = shutil.copytree(small, tmp_path / "copy")
    shutil.rmtree(copy / "out")
    (copy / "results" / "small" / "curves_of_a_task_that_is_gone.svg").write_text("old")
    assert COMMAND.main([str(copy / "small.yaml")]) == 0
    after = files_of(copy)
    assert {name: before[name] for name in after} == after
    assert {"leaderboard.md", "leaderboard.html", "accuracy_macs_attribute.svg", "time_attribute.png"} <= set(after)


def test_the_section_of_the_page_is_replaced_and_the_rest_stays(small: Path) -> None:
    page = (small / "PAGE.md").read_text()
    assert page.startswith("# Results\n\n<!-- study: small -->\n\n- An arm is ")
    assert page.endswith("\n\nafter\n")
    assert (
        "- Met: half of the time: 0.33 of the unpruned arm's wall time" in page
        and "- No verdict: 3 of 4: reading " in page
    )
    assert "- All arms were trained once (one seed)" in page
    assert "\nold\n" not in page and "](results/small/accuracy_macs_attribute.svg)" in page


def test_a_table_of_the_study_is_in_its_page_and_the_leaderboard_leads_there(small: Path) -> None:
    page = (small / "LAW.md").read_text()
    assert page.startswith("# Law\n\n<!-- study: small: law -->\n\nAttribute, keep 0.11, accuracy, %:")
    assert "| text-aware | reads the text | 8" in page and "| other | - | not run |" in page
    assert "[LAW.md](../../LAW.md)" in (small / "results" / "small" / "leaderboard.md").read_text()


def test_words_of_the_study_are_defined_at_the_beginning(small: Path) -> None:
    folder = small / "results" / "small"
    assert "\n\n## Words\n\n- A\\<B: one of two.\n\n## Which to take" in (folder / "leaderboard.md").read_text()
    assert "<h2>Words</h2><ul><li>A&lt;B: one of two.</li></ul>" in (folder / "leaderboard.html").read_text()


def test_a_table_without_a_place_is_reported_before_anything_is_written(small: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    (copy / "LAW.md").write_text(MARKERS)
    before = files_of(copy)
    with pytest.raises(DataError, match="report.tables.law: must have a place in one of .*PAGE.md, .*, got none"):
        COMMAND.main([str(copy / "small.yaml")])
    assert files_of(copy) == before


class Page(HTMLParser):
    """Collects tags and the rows of the table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_no_network_and_runs_no_name(small: Path) -> None:
    text = (small / "results" / "small" / "leaderboard.html").read_text()
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert names.count("script") == 1 and names.count("svg") == 3 and "alert" in text
    assert not {"img", "link", "iframe", "object", "image"} & set(names)
    links = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href", "xlink:href")]
    within = {str(link)[1:] for link in links if str(link).startswith("#")}
    others = [link for link in links if not str(link).startswith("#")]
    assert others == ["../../PAGE.md", "../../LAW.md", "leaderboard.md"], "pages beside it, which it does not load"
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids)), "figures share no names"
    referred = set(re.findall(r"url\(#([^)]+)\)", text)) | within
    assert referred <= set(map(str, ids))
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and "data-task" in attrs]
    assert len(rows) == 3 and {row["data-keep"] for row in rows} == {"0.11"}
    assert "Which to take" in text and "take text-aware" in text


def test_every_table_is_on_the_page_and_sortable_and_every_picture_has_a_title(small: Path) -> None:
    text = (small / "results" / "small" / "leaderboard.html").read_text()
    page = Page(text)
    tables = [attrs for tag, attrs in page.tags if tag == "table"]
    assert [table.get("class") for table in tables] == ["sortable"] * 3 and tables[1]["id"] == "board"
    assert "<h2>Time to the unpruned arm&#x27;s quality</h2>" in text.replace("arm's", "arm&#x27;s")
    assert all(attrs.get("role") == "img" for tag, attrs in page.tags if tag == "svg")
    assert re.findall(r"<svg[^>]*>\s*<title>([^<]*)</title>", text) == [
        "Accuracy against MACs, attribute",
        "Learning curves, attribute, keep 0.11",
        "Time to quality, attribute, keep 0.11",
    ]


def test_names_that_are_alike_have_files_of_their_own() -> None:
    names = ("a b", "A_B", "日本", "語", "a b", "a b 2")
    assert list(file_names(names).values()) == ["a_b", "a_b_2", "task", "task_2", "a_b_2_2"]


def test_names_of_files_are_as_short_as_file_systems_need() -> None:
    assert list(file_names(["x" * 300, "x" * 299]).values()) == ["x" * 150, f"{'x' * 150}_2"]


def test_links_hold_no_blanks_and_brackets(tmp_path: Path) -> None:
    assert relative_link(tmp_path / "results/my study (1)", tmp_path) == "results/my%20study%20%281%29"


def test_a_blank_name_is_a_dash() -> None:
    assert plain_name("  ") == "-" and plain_name(" a ") == "a"


def test_columns_of_numbers_are_sorted_by_numbers() -> None:
    rows = [["0.5 (1 token in 2)", "x 1.20", "2 a"], ["0.25 (1 token in 4)", "-", "a 2"]]
    assert re.findall(r"<td([^>]*)>", text_table(["keep", "time", "arm"], rows)) == [
        *(' data-value="0.5"', ' data-value="1.20"', ""),
        *(' data-value="0.25"', ' data-value=""', ""),
    ]


def test_a_picture_holds_neither_a_date_nor_a_version_and_is_opaque(small: Path) -> None:
    svg = (small / "results" / "small" / "accuracy_macs_attribute.svg").read_text()
    assert "dc:date" not in svg and "Matplotlib" not in svg and "fill: #ffffff" in svg
    assert "&lt;script&gt;" in svg and "<script" not in svg


def test_mistakes_are_named(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--replace: has no effect without --collect"):
        COMMAND.main([str(small / "small.yaml"), "--replace"])
    with pytest.raises(DataError, match="holds no results. Add them with --collect"):
        COMMAND.main([str(small / "small.yaml"), "--results", str(tmp_path / "none")])


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(0, [0, 2, 4, 6, 8, 10]), (13, [0, 5, 10, 15]), (45, [0, 10, 20, 30, 40, 50]), (90, [0, 20, 40, 60, 80, 100])],
)
def test_accuracies_have_a_scale_also_where_all_are_zero(highest: float, ticks: list[float]) -> None:
    _, (axes,) = new_axes(1)
    set_percent(axes, [0.0, highest])
    assert list(axes.get_yticks()) == ticks and axes.get_ylim()[1] > ticks[-1]


@pytest.mark.parametrize(
    ("last", "ticks"), [(0, [0, 1]), (2, [0, 1, 2]), (150, [0, 50, 100, 150]), (800, [0, 200, 400, 600, 800])]
)
def test_steps_are_whole_and_end_with_the_longest_curve(last: float, ticks: list[float]) -> None:
    _, (axes,) = new_axes(1)
    set_course(axes, last, whole=True)
    assert list(axes.get_xticks()) == ticks and axes.get_xlim()[1] == (last or 1)


@pytest.mark.parametrize(
    "name", ["a", "unpruned, without boxes and prior x 0.88", plain_name("a long name of a plugin " * 9)]
)
def test_names_end_within_the_plot_however_long_they_are(name: str) -> None:
    figure, (axes,) = new_axes(1)
    set_course(axes, 800, whole=True)
    figure.tight_layout()
    name_curves(axes, [(800, 0.5, name, "black")])
    (label,) = [text for text in axes.texts if text.get_text() == name]
    assert 800 < axes.transData.inverted().transform(label.get_window_extent())[0, 0]
    assert label.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("number", "names"), [(6, ["0", "1", "2", "3", "4", "5", "low"]), (9, ["9 arms at 100.0 %", "low"])]
)
def test_many_curves_that_end_at_one_value_share_a_name(number: int, names: list[str]) -> None:
    figure, (axes,) = new_axes(number)
    set_course(axes, 800)
    figure.tight_layout()
    name_curves(axes, [(800, 0.3, "low", "black"), *((800, 100.0, str(i), "black") for i in range(number))])
    assert sorted(text.get_text() for text in axes.texts) == names


def test_plots_grow_with_the_number_of_names() -> None:
    few, many = (new_axes(number)[0].get_figheight() for number in (5, 40))
    assert few < many and 40 * 11 * 1.25 / 72 < many


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([1.0, 5.0], [1.0, 5.0]),
        ([5.0, 5.0], [4.5, 5.5]),
        ([0.0, 0.0, 9.0], [0.0, 1.0, 9.0]),
        ([4.0, 4.0, 5.2], [3.4, 4.4, 5.4]),
        ([3.0], [3.0]),
    ],
)
def test_names_are_spread_without_meeting(wanted: list[float], places: list[float]) -> None:
    assert spread(wanted, 1.0, 0.0, 10.0) == pytest.approx(places)


def test_more_names_than_fit_are_as_far_apart_as_there_is_room() -> None:
    assert spread([5.0] * 5, 4.0, 0.0, 10.0) == pytest.approx([0.0, 2.5, 5.0, 7.5, 10.0])
