"""One table says which argument a builder fills in for which part."""

from bus_toolkit.registry import ARGUMENTS, REGISTRIES, new_registries, provided_to


def test_each_registry_has_its_row_of_the_table() -> None:
    for parts in new_registries().all():
        assert parts.provided == provided_to(parts.slot)
        assert parts.provided <= ARGUMENTS.keys()


def test_a_model_without_an_image_gives_no_widths() -> None:
    assert provided_to("text_decoder", "CaptionLanguageModel") == {"vocab_size", "pad_token_id"}
    assert provided_to("text_decoder") > provided_to("text_decoder", "CaptionLanguageModel")


def test_every_part_gets_what_it_requires_from_the_yaml_or_the_table() -> None:
    taken = {name for parts in REGISTRIES.all() for entry in map(parts.get, parts.names())
             for name in entry.signature.arguments}  # fmt: skip
    assert ARGUMENTS.keys() - {"skip_ids"} <= taken
