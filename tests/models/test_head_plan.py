"""The order of heads, who feeds whom and what each sees follow from what the classes declare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.heads import Feed, HeadOutput, ITCHead, ITMHead, MLMHead, PrefixLMHead, Step, VLPHead
from bus_toolkit.models import conditioning
from bus_toolkit.models.conditioning import Conditioning, ConditioningMode, register_mode
from bus_toolkit.models.head_plan import HeadPlan, plan_heads
from bus_toolkit.step import Batch, PassKey
from bus_toolkit.structures import Condition, Masked
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, samples, tiny_heads, tiny_model


class Undeclared(VLPHead):
    """Says nothing about what it may see."""

    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"mine": step.visual().cls.sum()})


class Spans(MLMHead):
    """Another head that hides words."""


class ReadsMasked(VLPHead):
    sees = Condition.MASKED


class Peeks(VLPHead):
    """Declares the masked caption and asks for the whole one."""

    sees = Condition.MASKED
    provides = (Condition.MASKED,)

    def hide(self, batch: Batch) -> Masked:
        none = batch.tokens.input_ids[:, :0]
        return Masked(batch.tokens, none, none, none.bool())

    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"peek": step.visual(Condition.CAPTION).cls.sum()})


def plan(mode: str = "shared", *, momentum: bool = False, **heads: type[VLPHead]) -> HeadPlan:
    return plan_heads(heads, Conditioning(mode), momentum={} if momentum else None)


def test_providers_of_feeds_come_first_and_the_rest_stays_in_order() -> None:
    assert plan(ptm=Undeclared, itm=ITMHead, mlm=MLMHead, contrast=ITCHead).order == ("contrast", "ptm", "itm", "mlm")
    assert plan(itm=ITMHead, mlm=MLMHead).order == ("itm", "mlm")


def test_chains_of_feeds_run_from_their_start() -> None:
    class Middle(VLPHead):
        provides = (Feed.PROJECTIONS,)
        uses = (Feed.SIMILARITY,)

    class End(VLPHead):
        uses = (Feed.PROJECTIONS,)

    start = type("Start", (VLPHead,), {"provides": (Feed.SIMILARITY,)})
    assert plan(end=End, middle=Middle, start=start).order == ("start", "middle", "end")


def test_a_circle_is_refused_with_its_way() -> None:
    one = type("One", (VLPHead,), {"provides": (Feed.SIMILARITY,), "uses": (Feed.PROJECTIONS,)})
    two = type("Two", (VLPHead,), {"provides": (Feed.PROJECTIONS,), "uses": (Feed.SIMILARITY,)})
    with pytest.raises(ConfigError, match="model.heads: heads wait for each other, got a -> b -> a. Leave one"):
        plan(a=one, b=two)


@pytest.mark.parametrize("mode", ["shared", "own_prefix", "free_itc", "masked", "strict"])
def test_the_name_of_a_head_decides_nothing(mode: str) -> None:
    named = plan(mode, itc=ITCHead, itm=ITMHead, mlm=MLMHead, prefix_lm=PrefixLMHead).keys
    other = plan(mode, a=ITCHead, itc=ITMHead, prefix_lm=MLMHead, mlm=PrefixLMHead).keys
    pairs = {"itc": "a", "itm": "itc", "mlm": "prefix_lm", "prefix_lm": "mlm"}
    assert all(named[name] == other[pairs[name]] for name in named)


def test_strict_gives_each_head_what_it_declares() -> None:
    keys = plan("strict", itc=ITCHead, itm=ITMHead, mlm=MLMHead, prefix_lm=PrefixLMHead).keys
    assert [key.condition.value for key in keys.values()] == ["free", "caption", "masked", "prefix"]


def test_own_prefix_hides_from_the_language_model_what_it_has_to_write_and_from_no_other_head() -> None:
    keys = plan("own_prefix", itc=ITCHead, itm=ITMHead, mlm=MLMHead, prefix_lm=PrefixLMHead).keys
    assert [key.condition.value for key in keys.values()] == ["caption", "caption", "caption", "prefix"]


def test_strict_refuses_a_head_that_declares_nothing_and_other_modes_show_it_what_they_show_all() -> None:
    with pytest.raises(
        ConfigError, match=r"model\.heads\.mine: under conditioning\.mode strict .* got Undeclared .*sees"
    ):
        plan("strict", mine=Undeclared, itc=ITCHead)
    assert plan("free_itc", mine=Undeclared).keys["mine"] == PassKey(Condition.CAPTION)
    assert plan("masked", mine=Undeclared, mlm=MLMHead).keys["mine"] == PassKey(Condition.MASKED)


def test_all_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        plan("strict", momentum=True, mine=Undeclared, words=ReadsMasked)
    assert [problem.path for problem in caught.value.problems] == [
        "model.heads.mine",
        "model.heads.words",
        "model.momentum",
    ]
    assert "got none. Have exactly one head that provides it, such as MLMHead" in str(caught.value)


def test_two_heads_that_hide_words_see_their_own_text_each() -> None:
    made = plan("strict", mlm=MLMHead, spans=Spans)
    assert made.keys == {"mlm": PassKey(Condition.MASKED, "mlm"), "spans": PassKey(Condition.MASKED, "spans")}
    assert str(made.keys["spans"]) == "masked_spans"
    with pytest.raises(ConfigError, match="hidden by one head, got mlm, spans"):
        plan("masked", mlm=MLMHead, spans=Spans, itm=ITMHead)


def test_the_passes_of_two_hiding_heads_are_counted_apart() -> None:
    heads: dict[str, VLPHead] = {
        "mlm": MLMHead(text_dim=WIDTH, vocabulary=LETTERS),
        "more": MLMHead(text_dim=WIDTH, vocabulary=LETTERS, mask_prob=0.9),
    }
    model = tiny_model("strict", heads=heads)
    losses = model.loss(images(4), samples())
    assert set(losses) == {"loss_mlm_mlm", "loss_mlm_more"}
    assert set(model.token_counts) == {"masked_mlm", "masked_more"}


def test_two_contrasts_feed_none_and_follow_none() -> None:
    with pytest.raises(ConfigError, match="model.heads.itm: ITMHead uses the similarity of one head, got a, b"):
        plan(a=ITCHead, b=ITCHead, itm=ITMHead)
    with pytest.raises(ConfigError, match="model.momentum: it follows the projections of one .* got a, b"):
        plan(a=ITCHead, b=ITCHead, momentum=True)
    assert plan(a=ITCHead, b=ITCHead).suffixes == {"a": "_a", "b": "_b"}


def test_a_contrast_under_another_name_trains_with_momentum_and_feeds_the_matching() -> None:
    heads = tiny_heads(queue_size=4)
    losses: dict[str, Any] = {}
    for name in ("itc", "contrast"):
        torch.manual_seed(0)
        renamed = {name if key == "itc" else key: head for key, head in tiny_heads(queue_size=4).items()}
        for head, same in zip(renamed.values(), heads.values(), strict=True):
            head.load_state_dict(same.state_dict())
        model = tiny_model(heads=renamed, momentum={"decay": 0.9})
        losses[name] = model.loss(images(4), samples())
        model.after_step()
        assert model.heads[name].queue_ids.tolist() == [0, 1, 2, 3]
        assert f"heads.{name}.projections.image.weight" in model.state_dict()
        assert "momentum.copies.projections.image.weight" in model.state_dict()
    assert losses["itc"].keys() == losses["contrast"].keys()
    assert all(torch.equal(losses["itc"][key], losses["contrast"][key]) for key in losses["itc"])


def test_a_head_cannot_ask_for_what_it_does_not_declare() -> None:
    model = tiny_model("strict", heads={"peek": Peeks()})
    with pytest.raises(
        ComponentError,
        match=r"^model.heads.peek \(Peeks\): sees masked in this mode and cannot ask for caption",
    ):
        model.loss(images(4), samples())


def test_two_heads_that_log_one_name_are_refused() -> None:
    class Matching(ITMHead):
        pass

    heads = {"itm": ITMHead(text_dim=WIDTH), "other": Matching(text_dim=WIDTH)}
    with pytest.raises(ComponentError, match="model.heads.other: Matching logs loss_itm, as an earlier head does"):
        tiny_model(heads=heads).loss(images(4), samples())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"mine": torch.zeros(())}, "model.heads.odd: Odd.loss must return a HeadOutput, got dict"),
        (HeadOutput({"mine": torch.zeros(2)}), r"scalar tensors, got Tensor float32 \(2,\) for 'mine'"),
        (HeadOutput({}, {"figure": 1.0}), "scalar tensors, got float for 'figure'"),  # type: ignore[dict-item]
    ],
)
def test_what_a_head_returns_is_checked(returned: object, message: str) -> None:
    class Odd(VLPHead):
        def loss(self, step):
            return returned

    with pytest.raises(ComponentError, match=message):
        tiny_model(heads={"odd": Odd()}).loss(images(4), samples())


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"sees": "free"}, r"Odd.sees must be one of Condition.FREE, .*, got 'free'. Correct the class"),
        ({"provides": Condition.MASKED}, "Odd.provides must be a tuple of Condition.FREE, .*Feed.SIMILARITY"),
        ({"uses": ("similarity",)}, r"Odd.uses must be a tuple of Feed.SIMILARITY, .*, got \('similarity',\)"),
    ],
)
def test_what_is_no_declaration_is_refused(declared: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"model.heads.odd: {message}"):
        plan(odd=type("Odd", (VLPHead,), declared))


@pytest.mark.parametrize(("part", "ask"), [("fusion", "fuse"), ("text_decoder", "decode")])
def test_a_head_that_uses_a_part_without_saying_so_is_named(part: str, ask: str) -> None:
    class Secret(VLPHead):
        def loss(self, step):
            return getattr(step.encoders, ask)(*[None] * (2 if ask == "fuse" else 3))

    model = tiny_model(heads={"secret": Secret()})
    model.encoders = replace(model.encoders, **{part: None})
    with pytest.raises(ComponentError, match=f"^model.{part}: a head asks .* set needs_{part} = True"):
        model.loss(images(4), samples())


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ([1, 2, 3, 4], "Guess.predict must return a dict, got list"),
        ({"guess": [1, 2, 3]}, "an entry for each of the 4 samples, got 3 for 'guess'"),
        ({"guess": torch.zeros(5)}, "an entry for each of the 4 samples, got 5 for 'guess'"),
        ({"guess": 1.0}, "an entry for each of the 4 samples, got float for 'guess'"),
    ],
)
def test_what_a_head_predicts_is_checked(predicted: object, message: str) -> None:
    class Guess(VLPHead):
        def predict(self, step):
            return predicted

    with pytest.raises(ComponentError, match=f"^model.heads.guess: .*{message}"):
        tiny_model(heads={"guess": Guess()}).predict(images(4), samples())


def test_two_heads_that_predict_one_field_are_refused() -> None:
    class Guess(VLPHead):
        def predict(self, step):
            return {"guess": [1, 2, 3, 4]}

    with pytest.raises(ComponentError, match="model.heads.b: Guess.predict gives 'guess', as model.heads.a does"):
        tiny_model(heads={"a": Guess(), "b": Guess()}).predict(images(4), samples())


def test_a_plugin_can_add_a_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditioning, "_MODES", dict(conditioning._MODES))
    register_mode("honest_words", ConditioningMode({Condition.MASKED: Condition.MASKED}, Condition.FREE))
    keys = plan("honest_words", itc=ITCHead, itm=ITMHead, mlm=MLMHead).keys
    assert [key.condition.value for key in keys.values()] == ["free", "free", "masked"]
    register_mode("honest_words", ConditioningMode({Condition.MASKED: Condition.MASKED}, Condition.FREE))
    with pytest.raises(ComponentError, match="conditioning mode: the name 'strict' is taken"):
        register_mode("strict", ConditioningMode())
