import json
import logging
import unicodedata

import pytest

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.json_text import dump_json
from bus_toolkit.safe_text import SafeFormatter, one_line, safe_lines

# Recolours, renames the window, hides what comes next, turns the order, ends the line, half a character.
HOSTILE = "a\x1b[31m\x1b]0;x\x07\x9b2J\u202eb\u2028\r\nc\udc80"
SHOWN = r"a\x1b[31m\x1b]0;x\x07\x9b2J\u202eb\u2028\r\nc\udc80"


def is_safe(text):
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c == "\u202e" for c in text)


def test_steering_characters_become_escapes_and_letters_of_all_scripts_stay():
    assert one_line(HOSTILE) == SHOWN
    # Persian and pictures of several characters need joiners.
    for text in ("é漢字 한글 العربية می\u200cخواهم 👩\u200d🚀 a\\x1b $[b]", "e\u0301"):
        assert one_line(text) == text


def test_lines_and_tabs_of_a_whole_message_stay():
    assert safe_lines("a:\n\tb\x1b[0m\n") == "a:\n\tb\\x1b[0m\n"


@pytest.mark.parametrize(
    "error", [ConfigError(Problem(HOSTILE, HOSTILE)), ConfigError([HOSTILE]), BadSample(HOSTILE, "x")]
)
def test_messages_of_errors_are_safe(error):
    assert "\\x1b[31m" in str(error)
    assert is_safe(str(error).replace("\n", ""))


def test_a_log_line_is_safe():
    record = logging.LogRecord("bus_toolkit", logging.WARNING, "", 0, "skipped %s", (HOSTILE,), None)
    line = SafeFormatter(logging.Formatter("%(levelname)s %(message)s")).format(record)
    assert line.startswith(r"WARNING skipped a\x1b[31m") and is_safe(line.replace("\n", ""))


def test_json_files_are_safe_and_mean_the_same():
    text = dump_json({HOSTILE: [HOSTILE, "é"]}, indent=1)
    assert is_safe(text.replace("\n", "")) and "é" in text
    assert json.loads(text) == {HOSTILE: [HOSTILE, "é"]}


def test_console_and_tables_are_safe(capsys):
    from bus_toolkit.cli.infer_tables import tables
    from bus_toolkit.cli.screen import table
    from bus_toolkit.console import ScreenConsole

    console = ScreenConsole(width=200)
    console.print(HOSTILE, markup=False)
    console.print(table("names", ["name"], [[HOSTILE]]))
    console.print(*tables("answer", [{"question": HOSTILE}], [], []))
    shown = capsys.readouterr().out
    assert shown.count(r"a\x1b[31m") == 3
    assert is_safe(shown.replace("\n", "").replace("\r", ""))


def test_text_in_a_picture_is_safe():
    from bus_toolkit.visualization.canvas import figure_pixels, new_figure

    figure = new_figure(2, 1)
    text = figure.text(0, 0, HOSTILE)
    figure_pixels(figure)
    assert is_safe(text.get_text().replace("\n", ""))
