import pytest

from bus_toolkit.data.datasets.bad_samples import TooManyBadSamples
from bus_toolkit.data.datasets.mixed_sources import MixedSources
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.errors import DataError
from tests.data.plain_rows import plain

CAPTIONS = plain("captions", 5, ["itc", "itm"], boxed=[0, 3])
BOXES = plain("boxes", 7, ["ptm"], boxed_only=True, boxed=[2, 4, 5])


def sample_of(data, index):
    return data[index]["data_samples"]


def test_sources_follow_one_another_and_mark_their_samples():
    data = MixedSources({"captions": CAPTIONS, "all": plain("all", 2)})
    assert len(data) == 7 and data.rows_of("captions") == range(5) and data.rows_of("all") == range(5, 7)
    samples = [sample_of(data, index) for index in range(7)]
    assert [s.text for s in samples] == [*(f"captions {i}" for i in range(5)), "all 0", "all 1"]
    assert [s.source for s in samples] == ["captions"] * 5 + ["all"] * 2
    assert [s.objectives for s in samples] == [("itc", "itm")] * 5 + [None] * 2
    assert data.metainfo == {"dataset": "MixedSources", "sources": ["captions", "all"]}


def test_a_source_of_boxed_rows_shows_them_as_region_rows_but_not_beside_captions():
    data = MixedSources({"captions": CAPTIONS, "boxes": BOXES})
    assert len(data) == 8
    samples = [sample_of(data, index) for index in data.rows_of("boxes")]
    assert [s.text for s in samples] == ["boxes region 2", "boxes region 4", "boxes region 5"]
    assert not any("region_only" in s for s in samples)


def test_boxed_indices_count_through_the_sources():
    data = MixedSources({"boxes": BOXES, "captions": CAPTIONS, "none": plain("none", 4)})
    assert data.boxed_indices.tolist() == [0, 1, 2, 3, 6]
    appended = sample_of(data, RegionRow(6))
    assert appended.text == "captions region 3" and appended.region_only


def test_images_of_two_sources_are_never_one():
    data = MixedSources({name: plain(name, 9) for name in ("a", "b", "c")})
    ids = [sample_of(data, index).image_id for index in range(27)]
    assert len(set(ids)) == 27 and all(isinstance(number, int) for number in ids)
    words = MixedSources({name: plain(name, 2, word_ids=True) for name in ("a", "b")})
    assert [sample_of(words, i).image_id for i in range(4)] == [
        "0/a/image 0",
        "0/a/image 1",
        "1/b/image 0",
        "1/b/image 1",
    ]


def test_a_single_source_keeps_its_image_ids():
    data = MixedSources({"a": plain("a", 9)})
    assert [sample_of(data, index).image_id for index in range(9)] == list(range(9))


def test_a_bad_sample_is_replaced_within_its_source():
    data = MixedSources({"a": plain("a", 3), "b": plain("b", 4, bad=[1, 2]), "c": plain("c", 3)})
    assert [sample_of(data, index).source for index in range(3, 7)] == ["b"] * 4
    assert data.sources["b"].dataset.bad.count == 2 and data.sources["a"].dataset.bad.count == 0


def test_a_source_without_a_good_sample_is_reported_as_by_its_data_set():
    data = MixedSources({"a": plain("a", 3), "b": plain("b", 1, bad=[0])})
    with pytest.raises(TooManyBadSamples, match="PlainRows: every sample is bad"):
        data[3]


def test_images_of_two_sizes_are_reported_with_their_sources():
    data = MixedSources({"small": plain("small", 2), "large": plain("large", 2, side=16)})
    data[0]
    with pytest.raises(DataError, match=r"sources.large: .*\(3, 16, 16\) here and \(3, 8, 8\) from small. End both"):
        data[2]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, "sources: must name at least one source, got none"),
        ({"a": {"objectives": ["itc"]}}, "sources.a: takes dataset .*, got objectives"),
        ({"a": {**CAPTIONS, "objective": "itc"}}, "sources.a: takes dataset .*boxed_only, objective"),
        ({"a": "captions"}, "sources.a: takes dataset .*got 'captions'"),
        ({"a": {**CAPTIONS, "objectives": "itc"}}, "sources.a.objectives: must be a list of names .*got 'itc'"),
        ({"a": {**CAPTIONS, "objectives": []}}, r"sources.a.objectives: .*or null for all, got \[\]"),
        ({"a": plain("a", 0)}, "sources.a: PlainRows has no rows. Leave the source out"),
        ({"a": plain("a", 3, boxed_only=True)}, "sources.a: PlainRows has no rows with boxes. Give it boxes"),
    ],
)
def test_refuses_what_cannot_be_mixed(sources, message):
    with pytest.raises(DataError, match=message):
        MixedSources(sources)
