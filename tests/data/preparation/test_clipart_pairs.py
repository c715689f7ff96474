import pytest

from bus_toolkit.data.preparation.clipart_pairs import MOST_ALIKE, ClipartPair, clean_pairs, split_pairs
from bus_toolkit.data.preparation.clipart_texts import ClipartText


def pairs(count, text=lambda number: f"text {number}"):
    return [ClipartPair(f"p/{number}", text(number), "title", f"pixels {number}") for number in range(count)]


def test_of_equal_pictures_that_with_a_title_stays():
    texts = {
        "a": ClipartText("a name", "name"),
        "b": ClipartText("a title", "title"),
        "c": ClipartText("other", "title"),
    }
    clean = clean_pairs(texts, {"a": "same", "b": "same"}, titles_only=False)
    assert clean.pairs == [ClipartPair("b", "a title", "title", "same")]
    assert clean.left_out == {"same picture as another": 1, "no readable picture": 1}


def test_file_names_are_left_out_on_request():
    texts = {"a": ClipartText("a name", "name"), "b": ClipartText("a title", "title")}
    clean = clean_pairs(texts, {"a": "1", "b": "2"}, titles_only=True)
    assert [pair.path for pair in clean.pairs] == ["b"] and clean.left_out == {"title names a collection": 1}


def test_of_one_text_only_so_many_pictures_stay():
    texts = {f"{number}": ClipartText("Star" if number % 2 else "star", "title") for number in range(MOST_ALIKE + 5)}
    clean = clean_pairs(texts, {path: path for path in texts}, titles_only=False)
    assert len(clean.pairs) == MOST_ALIKE and clean.left_out == {f"text of {MOST_ALIKE} others": 5}


def test_the_splits_share_no_text_and_lose_no_pair():
    everything = [*pairs(40), *(ClipartPair(f"q/{n}", "Text 3", "title", f"q {n}") for n in range(5))]
    everything.append(ClipartPair("r", "a file name", "name", "r"))
    splits = split_pairs(everything, num_test=10, num_val=5)
    assert [len(splits[split]) for split in ("train", "val", "test")] == [31, 5, 10]
    assert {pair for split in splits.values() for pair in split} == set(everything)
    held = [pair.text.casefold() for split in ("val", "test") for pair in splits[split]]
    assert len(set(held)) == 15 and not {"text 3", "a file name"} & set(held)
    assert not set(held) & {pair.text.casefold() for pair in splits["train"]}


def test_the_split_follows_from_paths_and_not_from_their_order():
    assert split_pairs(pairs(30), num_test=5, num_val=5) == split_pairs(pairs(30)[::-1], num_test=5, num_val=5)


def test_too_few_pairs_to_hold_out_are_reported():
    with pytest.raises(ValueError, match="0 of 9 pairs have a title of their own, 2 [+] 1 are to be held out"):
        split_pairs(pairs(9, lambda number: "same"), num_test=2, num_val=1)
