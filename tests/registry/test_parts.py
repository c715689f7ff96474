import inspect

import pytest
from torch import nn

from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.ops.schedule import keep_ratio_problems
from bus_toolkit.registry import PartRegistry, new_registries, registering


class Keeper(nn.Module):
    def __init__(self, *, embed_dim: int, keep_ratio: float = 0.5) -> None:
        super().__init__()
        if keep_ratio > 1:
            raise ValueError(f"keep_ratio: must be in (0, 1], got {keep_ratio}.")
        self.embed_dim, self.keep_ratio = embed_dim, keep_ratio


@pytest.fixture
def parts():
    registry = PartRegistry("patch selector", "selectors", "view -> plan", frozenset({"embed_dim", "text_dim"}))
    registry.register(Keeper)
    return registry


def _message(call):
    with pytest.raises(ComponentError) as caught:
        call()
    return str(caught.value)


def test_builds_with_what_the_yaml_does_not_give(parts):
    part = parts.build({"type": "Keeper", "keep_ratio": 0.25}, path="model.selectors.0", embed_dim=8, text_dim=4)
    assert (part.embed_dim, part.keep_ratio) == (8, 0.25)


def test_the_yaml_goes_before_what_is_provided(parts):
    assert parts.build({"type": "Keeper", "embed_dim": 3}, path="p", embed_dim=8).embed_dim == 3


def test_register_is_a_decorator_too(parts):
    @parts.register(name="Other")
    class Anything:
        pass

    assert parts.get("Other").cls is Anything
    assert parts.names() == ["Keeper", "Other"]


def test_refuses_a_taken_name_and_names_both_origins(parts):
    with registering("plugin bad"):
        text = _message(lambda: parts.register(Keeper))
    assert "the name 'Keeper' is taken by this program" in text
    assert "plugin bad" in text and text.count("test_parts") == 2


def test_refuses_a_name_that_could_be_a_path(parts):
    assert "a name is a plain word, got 'os.system'" in _message(lambda: parts.register(Keeper, name="os.system"))


def test_an_unknown_type_gives_the_path_and_the_nearest_name(parts):
    text = _message(lambda: parts.build({"type": "keepr"}, path="model.selectors.0"))
    assert text == (
        "model.selectors.0.type: no patch selector named 'keepr'. Did you mean 'Keeper'? Registered: Keeper."
    )


def test_an_unknown_argument_gives_the_path_and_the_nearest_name(parts):
    text = _message(lambda: parts.build({"type": "Keeper", "keep_rate": 0.5}, path="model.selectors.0", embed_dim=1))
    assert text.startswith(
        "model.selectors.0.keep_rate: Keeper has no argument 'keep_rate'. Did you mean 'keep_ratio'?"
    )


def test_a_value_of_the_wrong_kind_is_refused(parts):
    text = _message(lambda: parts.build({"type": "Keeper", "keep_ratio": "half"}, path="p", embed_dim=1))
    assert text == "p.keep_ratio: must be a number, got 'half'."


def test_a_refusal_by_the_part_carries_the_path(parts):
    text = _message(lambda: parts.build({"type": "Keeper", "keep_ratio": 2.0}, path="model.selectors.1", embed_dim=1))
    assert text == "model.selectors.1: Keeper refuses its arguments: keep_ratio: must be in (0, 1], got 2.0."


def test_a_node_without_type_is_refused(parts):
    assert "must be a mapping with a 'type'" in _message(lambda: parts.build({"keep_ratio": 0.5}, path="p"))
    assert "no patch selector named ['x']" in _message(lambda: parts.build({"type": ["x"]}, path="p"))


def test_dotted_names_import_nothing():
    backbones = new_registries().backbones
    text = _message(lambda: backbones.get("torch.nn.Linear", "model.backbone"))
    assert text.startswith("model.backbone.type: no backbone named 'torch.nn.Linear'.")
    assert "any mmpretrain.<Name>" in text


def test_mmpretrain_backbones_are_found_by_registered_name():
    backbones = new_registries().backbones
    assert backbones.get("mmpretrain.VisionTransformer").cls.__name__ == "VisionTransformer"
    assert "Did you mean 'mmpretrain.VisionTransformer'?" in _message(lambda: backbones.get("VisionTransformer"))


class Buggy:
    """A part whose constructor has a mistake of its own."""

    def __init__(self, *, how: str = "key", **options: int) -> None:
        if how == "key":
            {}["oops"]
        elif how == "assert":
            assert not options, "an invariant"
        elif how == "call":
            Keeper(embed_dimm=3)
        elif how == "torch":
            nn.MultiheadAttention(8, 3)
        elif how == "package":
            import no_such_package  # noqa: F401
        else:
            raise DataError("file.json: is missing.")


@pytest.fixture
def buggy(parts):
    parts.register(Buggy)
    return parts


@pytest.mark.parametrize(("how", "kind"), [("key", KeyError), ("assert", AssertionError), ("call", TypeError)])
def test_a_parts_own_mistake_keeps_its_traceback(buggy, how, kind):
    with pytest.raises(kind) as caught:
        buggy.build({"type": "Buggy", "how": how, "more": 1}, path="model.selectors.0")
    assert caught.traceback[-1].frame.code.name == "__init__"
    if hasattr(caught.value, "add_note"):
        assert "model.selectors.0: this happened while Buggy was built (this program" in caught.value.__notes__[0]


def test_what_a_library_asserts_of_the_values_is_a_refusal(buggy):
    text = _message(lambda: buggy.build({"type": "Buggy", "how": "torch"}, path="p"))
    assert text.startswith("p: Buggy refuses its arguments: embed_dim must be divisible by num_heads")


def test_a_librarys_assertion_comes_with_the_numbers_that_were_filled_in(parts):
    def narrow(*, embed_dim: int, text_dim: int = 4) -> object:
        return nn.MultiheadAttention(embed_dim, 3)

    parts.register(narrow)
    text = _message(lambda: parts.build({"type": "narrow", "text_dim": 5}, path="p", embed_dim=8))
    assert text.endswith("divisible by num_heads (filled in from other parts: embed_dim=8)")


class Projection(nn.Module):
    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(2, width)


def test_a_size_of_zero_or_less_is_refused(parts):
    parts.register(Projection)
    assert parts.build({"type": "Projection", "width": 1}, path="model.selectors.0").layer.weight.shape == (1, 2)
    with pytest.warns(UserWarning, match="zero-element"):
        message = _message(lambda: parts.build({"type": "Projection", "width": 0}, path="model.selectors.0"))
    assert message == (
        "model.selectors.0: Projection has a parameter without a number, layer.weight (0, 2): a size is 0. "
        "Set it to 1 or more."
    )
    message = _message(lambda: parts.build({"type": "Projection", "width": -1}, path="model.selectors.0"))
    assert message.startswith("model.selectors.0: Projection refuses its arguments: Trying to create tensor with neg")


def test_a_package_that_is_not_installed_is_named(buggy):
    text = _message(lambda: buggy.build({"type": "Buggy", "how": "package"}, path="p"))
    assert text == "p: Buggy needs a package that is not installed: No module named 'no_such_package'. Install it."


def test_an_error_of_the_toolkit_passes_as_it_is(buggy):
    with pytest.raises(DataError, match=r"^file.json: is missing\.$"):
        buggy.build({"type": "Buggy", "how": "data"}, path="p")


def test_an_argument_that_an_open_signature_hides_is_the_users(parts):
    def closed(*, first: int = 1) -> None: ...

    closed.__signature__ = inspect.Signature([inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])
    parts.register(closed)
    text = _message(lambda: parts.build({"type": "closed", "second": 1}, path="p"))
    assert text.startswith("p: closed refuses its arguments: ") and "unexpected keyword argument 'second'" in text


def test_only_what_is_provided_to_the_kind_is_filled_in(parts):
    class Needing:
        def __init__(self, *, embed_dim: int, patch_size: int) -> None: ...

    parts.register(Needing)
    text = _message(lambda: parts.build({"type": "Needing"}, path="p", embed_dim=8, patch_size=4))
    assert text == "p.patch_size: Needing needs this argument, got nothing. Add it."


def test_what_the_builder_does_not_have_is_missing(parts):
    text = _message(lambda: parts.build({"type": "Keeper"}, path="p", text_dim=4))
    assert text == "p.embed_dim: Keeper needs this argument, got nothing. Add it."


def test_a_kind_may_check_values(parts):
    parts.check_values = keep_ratio_problems
    problems = parts.check({"type": "Keeper", "keep_ratio": 1.5}, "model.selectors.0")
    assert list(map(str, problems)) == ["model.selectors.0.keep_ratio: must be in (0, 1], got 1.5."]
