import csv
from pathlib import Path

import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.tables import table_rows

ROWS = [(1, ["image", "caption"]), (2, ["0.png", "a dog"]), (3, ["1.png", "a cat"])]


def rows(content, name="a.csv"):
    return list(table_rows(content, Path(name)))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "A.CSV"])
@pytest.mark.parametrize("mark", [",", ";", "\t", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_is_that_of_the_header(name, mark, end):
    assert rows(end.join(mark.join(row) for _, row in ROWS), name) == ROWS


def test_the_separator_of_the_suffix_goes_first():
    assert rows("image,a;b\n0.png,x;y\n") == [(1, ["image", "a;b"]), (2, ["0.png", "x;y"])]
    assert rows("image\ta,b\n0.png\tx,y\n", "a.tsv") == [(1, ["image", "a,b"]), (2, ["0.png", "x,y"])]


def test_a_caption_keeps_separators_quotes_and_ends_of_lines_inside_of_quotes():
    content = 'image, caption\n0.png, "a dog, a\n""big"" one"\n1.png,b\n'
    assert rows(content)[1:] == [(2, ["0.png", 'a dog, a\n"big" one']), (4, ["1.png", "b"])]


def test_empty_rows_are_no_rows_and_lines_are_counted_with_them():
    assert rows("image,caption\n\n0.png,a dog\n,\n  \n1.png,a cat\n,\n")[1:] == [
        (3, ["0.png", "a dog"]),
        (6, ["1.png", "a cat"]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,caption,caption\n", "here: a.csv: the header has the column 'caption' twice. Rename or remove"),
        (
            'image,caption\n0.png,a\n1.png,"b\n2.png,c\n',
            "here: a.csv, line 3: unexpected end of data. Check the quotes",
        ),
        ('image,caption\n0.png,"a" b\n', "here: a.csv, line 2: ',' expected after '\"'. Check the quotes"),
    ],
)
def test_a_damaged_table_is_reported_with_the_line_where_it_starts(content, message):
    with pytest.raises(DataError, match=message):
        list(table_rows(content, Path("a.csv"), "here"))


def test_columns_without_a_name_are_no_column_twice():
    assert rows("image,caption,,\n0.png,a,,\n")[1:] == [(2, ["0.png", "a", "", ""])]


def test_long_fields_are_read_and_the_limit_of_other_readers_stays():
    limit, text = csv.field_size_limit(), "word " * 50_000
    assert rows(f"image,caption\n0.png,{text}\n")[1] == (2, ["0.png", text])
    assert csv.field_size_limit() == limit < len(text)


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t")])
def test_quotes_that_are_text_swallow_no_row(name, mark):
    content = "\n".join(mark.join(row) for row in [("image", "caption"), *((f"{n}.png", '"') for n in range(4))])
    with pytest.raises(
        DataError, match=r"lines 2 to 3: the quotes there hold whole rows, '1.png.*Set quoting: none if"
    ):
        rows(content, name)
    read = list(table_rows(content, Path(name), quoting="none"))
    assert read[1:] == [(n + 2, [f"{n}.png", '"']) for n in range(4)]


def test_a_quote_at_the_start_of_a_caption_is_text_if_the_setting_says_so():
    content = 'image,caption\n0.png,"Stop" sign\n1.png,5" plate\n'
    with pytest.raises(DataError, match="line 2: ',' expected after .* Set quoting: none if quotes are text"):
        rows(content)
    read = list(table_rows(content, Path("a.csv"), quoting="none"))
    assert [row for _, row in read[1:]] == [["0.png", '"Stop" sign'], ["1.png", '5" plate']]


@pytest.mark.parametrize("order", [("image", "caption"), ("caption", "image")])
def test_a_missing_quote_swallows_no_row(order):
    rows_of = [("1.png", '"a'), ("2.JPG", "b"), ("3.png", 'c"')]
    by_name = [dict(zip(("image", "caption"), row, strict=True)) for row in rows_of]
    content = "\n".join([",".join(order), *(",".join(row[name] for name in order) for row in by_name), ""])
    with pytest.raises(DataError, match="the quotes there hold whole rows"):
        rows(content)


def test_rows_of_several_lines_are_counted_unless_the_setting_allows_them(caplog):
    content = 'image,caption\n0.png,"a dog\nand a cat"\n1.png,b\n'
    assert len(rows(content)) == 3
    assert "a.csv: rows of several lines, in quotes: 1, the first at line 2. Set quoting: none if" in caplog.text
    caplog.clear()
    swallowing = 'image,caption\n0.png,"a dog,\n"\n1.png,"\nb"\n'
    assert [row for _, row in table_rows(swallowing, Path("a.csv"), quoting="csv")][1:] == [
        ["0.png", "a dog,\n"],
        ["1.png", "\nb"],
    ]
    assert not caplog.records


def test_another_quoting_is_refused():
    with pytest.raises(DataError, match="a.csv: quoting must be csv or none, got 'tsv'"):
        list(table_rows("image,caption\n", Path("a.csv"), quoting="tsv"))
