import pytest

from bus_toolkit.data.preparation.clipart_texts import ClipartText, choose_texts, clean_title, name_words
from bus_toolkit.data.preparation.svg_metadata import SvgMetadata


@pytest.mark.parametrize(
    "title, cleaned",
    [
        ("Rich Young Man, Counting", "Rich Young Man, Counting"),
        ("Clipart by Nicu Buculei - contour_chipmunk", "contour chipmunk"),
        ("glace_03_bw", "glace 03 bw"),
        ("arrow08_4", "arrow"),
        ("bee3", "bee"),
        ("horse#2", "horse"),
        ("direction à suivre 3", "direction à suivre"),
        ("24_ports_switch", "24 ports switch"),
        ("MP3 player", "MP3 player"),
        ("books-aj.svg", ""),
        ("untitled", ""),
        ("Drawing 1", ""),
        ("ralf@ark.in-berlin.de", ""),
        ("HASH(0x852c614)", ""),
        ("Part of the Flat Icon Collection (Wed Aug 25 23:29:46 2004)", ""),
        ("g8", ""),
        ("", ""),
    ],
)
def test_titles_are_cleaned(title, cleaned):
    assert clean_title(title) == cleaned


def test_the_words_of_a_file_name_are_without_digits_and_makers():
    assert name_words("a/siringa_architetto_franc_01", ["Architetto Francesco Rollandini"]) == ["siringa"]
    assert name_words("signs/ChampMagnetiqueImportant.svg", []) == ["champ", "magnetique", "important"]
    assert name_words("stars/star_46pt13step", []) == ["star", "pt", "step"]
    assert name_words("cards/bordered_h_9", []) == ["bordered"]


def test_a_title_of_many_pictures_counts_only_where_the_file_name_says_it():
    pictures = {
        f"animals/contour_{name}": SvgMetadata("contour_giraffe") for name in ("baboon", "giraffe", "lion", "ox")
    }
    pictures |= {f"cards/{number}": SvgMetadata("card") for number in range(4)}
    pictures |= {f"dinos/dino_{number}": SvgMetadata("Dino") for number in range(4)}
    pictures |= {f"few/{number}": SvgMetadata("Shield") for number in range(3)}
    texts = choose_texts(pictures)
    assert texts["animals/contour_giraffe"] == ClipartText("contour giraffe", "title")
    assert texts["animals/contour_ox"] == ClipartText("contour ox", "name")
    assert not any(path.startswith("cards/") for path in texts), "neither title nor file name speaks of the picture"
    assert texts["dinos/dino_3"] == ClipartText("Dino", "title")
    assert texts["few/0"] == ClipartText("Shield", "title")
