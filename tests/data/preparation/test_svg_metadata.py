import pytest

from bus_toolkit.data.preparation.svg_metadata import SvgMetadata, read_svg_metadata
from tests.data.preparation.tiny_clipart import svg


def test_the_title_is_that_of_the_work_and_not_of_its_makers():
    metadata = read_svg_metadata(
        svg("A  red\n ball", tags=["toy", "", "round"], creator="Jo Doe", description="It bounces.")
    )
    assert metadata == SvgMetadata("A red ball", "It bounces.", ["toy", "round"], ["Jo Doe"])


def test_what_is_not_there_is_empty():
    assert read_svg_metadata(b"<svg/>") == SvgMetadata()
    assert read_svg_metadata(svg("")).title == ""


def test_content_after_the_metadata_is_not_read():
    assert read_svg_metadata(svg("ball").replace(b"</svg>", b"<broken")).title == "ball"


@pytest.mark.parametrize(
    "content, report",
    [
        (b"no xml", "no XML"),
        (b"", "no XML"),
        (b'<!DOCTYPE svg [<!ENTITY a "x">]><svg/>', "declares the entity 'a'"),
        (b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>', "declares the entity 'a'"),
        (b'<!DOCTYPE svg [<!ENTITY % p SYSTEM "file:///x"> %p;]><svg/>', "declares the entity 'p'"),
        (svg("word " * 100_000), "more than 100000 characters"),
    ],
)
def test_dangerous_or_broken_files_are_refused(content, report):
    with pytest.raises(ValueError, match=report):
        read_svg_metadata(content)


def test_an_external_document_type_is_not_opened():
    content = b'<!DOCTYPE svg SYSTEM "file:///nowhere/svg.dtd">' + svg("ball")
    assert read_svg_metadata(content).title == "ball"
