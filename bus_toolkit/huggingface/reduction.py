"""Selectors put into a vision-language model of transformers, and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.families import Family, decoder_of, family_of, part_of
from bus_toolkit.huggingface.language_model import LanguageModelReduction, Policy, Turns
from bus_toolkit.huggingface.recorded_attention import is_recordable, listen, stop_listening
from bus_toolkit.huggingface.tower import TowerReduction
from bus_toolkit.huggingface.visual_places import Quota
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import PatchSelector
from bus_toolkit.structures import Selection

AnySelector = PatchSelector | Mapping[str, Any]


def reduce_tokens(
    model: Any,
    selectors: AnySelector | Sequence[AnySelector] = (),
    *,
    projected: AnySelector | None = None,
    vision: AnySelector | Sequence[AnySelector] = (),
    quota: Quota = "sample",
    turns: Turns = "each",
    around_selection: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Reduction:
    """Let selectors drop visual tokens of a loaded vision-language model of transformers.

    Works until ``remove()`` of what it returns, or to the end of its ``with`` block, in calls of the model, in ``generate`` and
    in training. Nothing of the model is copied or patched. A selector at block b acts after layer b, whatever its ``site``; one
    that reads attention reads that layer's.

    Selectors with parameters belong to you: give them to your optimizer, save them with your weights.

    Args:
        model: Such as ``LlavaForConditionalGeneration`` or ``Qwen2_5_VLForConditionalGeneration``; see ``FAMILIES``.
        selectors: In the language model; each names its layers in ``blocks``. Selectors, or mappings of a type and arguments
            as in a YAML file.
        projected: Before the language model, on projected features; its ``blocks`` do not matter.
        vision: In the vision tower, of LLaVA and PaliGemma.
        quota: ``sample``: all visual tokens of a sample are ranked together; ``image``: those of each image, or frame.
        turns: When a conversation is given again with another turn: select for ``each`` turn again; keep the ``union`` of what
            the turns chose; ``keep`` the first choice; or select ``without_text``. A filled cache keeps what its prefill kept.
        around_selection: Opened around each selection, such as a timer.

    Raises:
        ComponentError: No model of a known family, no selector, a block that it does not have, two selectors at one place, a
            model that is reduced already.
    """
    return Reduction(
        model,
        inside=_listed(selectors),
        projected=None if projected is None else projected,
        vision=_listed(vision),
        policy=Policy(quota, turns, around_selection),
    )


class Reduction:
    """Selectors in a model, until ``remove()``; also a context manager.

    Attributes:
        model: The model.
        selectors: All that are in it; those made of mappings are where the model is, and in its mode.
    """

    def __init__(
        self,
        model: Any,
        *,
        inside: Sequence[AnySelector],
        projected: AnySelector | None,
        vision: Sequence[AnySelector],
        policy: Policy,
    ) -> None:
        family = family_of(model)
        decoder = decoder_of(model)
        _check(model, family, decoder, inside, projected, vision, policy)
        self.model = model
        width = model.get_input_embeddings().weight.shape[1]
        built = [_built(one, width, model) for one in inside]
        in_layers = _by_block(built, len(decoder.layers) - 1, "selectors")
        _check_added_later(model, family, in_layers)
        self._handles: list[Any] = []
        self._listened: list[nn.Module] = []
        self._tower = None
        if vision:
            inner = part_of(model, family.tower).config.hidden_size if family.tower else width
            in_tower = [_built(one, inner, model) for one in vision]
            chosen = _by_block(in_tower, None, "vision")
            built += in_tower
            self._tower = TowerReduction(model, family, chosen, policy.around_selection)
            _check_without_text(chosen)
            self._listen(self._tower.layers, self._tower.tower, chosen)
            self._handles.extend(self._tower.install())
        before = None if projected is None else _built(projected, width, model)
        self.selectors = (*built, *([] if before is None else [before]))
        self._language_model = LanguageModelReduction(
            model,
            family,
            decoder,
            projected=before,
            inside=in_layers,
            hidden_by_tower=None if self._tower is None else self._tower.hidden,
            policy=policy,
        )
        self._listen(decoder.layers, decoder, in_layers)
        self._handles.extend(self._language_model.install())
        model._bus_reduction = self

    def _listen(self, layers: nn.ModuleList, owner: Any, selectors: Mapping[int, PatchSelector]) -> None:
        implementation = str(owner.config._attn_implementation)
        for block, selector in selectors.items():
            attention = layers[block - 1].self_attn
            if selector.reads_block or is_recordable(implementation):
                listen(attention, implementation)
                self._listened.append(attention)

    def remove(self) -> None:
        """Take the selectors out; the model is as it was before."""
        for handle in self._handles:
            handle.remove()
        for attention in self._listened:
            stop_listening(attention)
        self._handles, self._listened = [], []
        if getattr(self.model, "_bus_reduction", None) is self:
            del self.model._bus_reduction

    def forget(self) -> None:
        """Begin a new conversation: no earlier turn counts any more."""
        self._language_model.prefill = None

    @property
    def kept(self) -> Tensor | None:
        """Which places of the last prefill left the language model, bool (B, W); ``None`` before the first with images."""
        prefill = self._language_model.prefill
        return None if prefill is None else prefill.left.kept()

    @property
    def counts(self) -> tuple[int, ...]:
        """How many visual tokens each row of the last prefill had at the end; empty before the first with images."""
        prefill = self._language_model.prefill
        if prefill is None:
            return ()
        return tuple((prefill.left.kept() & prefill.visual.is_visual).sum(dim=1).tolist())

    @property
    def selections(self) -> list[Selection]:
        """What was decided inside the language model and before it in the last prefill, by units of one size."""
        prefill = self._language_model.prefill
        return [] if prefill is None else [one for group in prefill.groups() for one in group.selections]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


def _listed(selectors: AnySelector | Sequence[AnySelector]) -> list[AnySelector]:
    return [selectors] if isinstance(selectors, (PatchSelector, Mapping)) else list(selectors)


def _built(selector: AnySelector, width: int, model: Any) -> PatchSelector:
    if isinstance(selector, Mapping):
        widths = {"embed_dim": width, "text_dim": width}
        made = REGISTRIES.selectors.build(dict(selector), path="reduce_tokens", **widths)
        return made.to(model.device, model.dtype).train(model.training)
    return selector


def _by_block(selectors: Iterable[PatchSelector], last: int | None, argument: str) -> dict[int, PatchSelector]:
    chosen: dict[int, PatchSelector] = {}
    for selector in selectors:
        for block in selector.blocks:
            if block in chosen:
                raise ComponentError(
                    f"reduce_tokens: {argument} must be at different blocks, got two at block {block}. Give each its own."
                )
            if last is not None and block > last:
                raise ComponentError(
                    f"reduce_tokens: blocks of {argument} must be in 1 to {last}, since nothing is saved after the last of the "
                    f"{last + 1} layers, got {block}. Name an earlier block."
                )
            chosen[block] = selector
    return dict(sorted(chosen.items()))


def _check(
    model: Any,
    family: Family,
    decoder: Any,
    inside: Sequence[AnySelector],
    projected: AnySelector | None,
    vision: Sequence[AnySelector],
    policy: Policy,
) -> None:
    if not inside and projected is None and not vision:
        raise ComponentError("reduce_tokens: a selector is needed, got none. Give selectors=, projected= or vision=.")
    if policy.quota not in ("sample", "image") or policy.turns not in ("each", "union", "keep", "without_text"):
        raise ComponentError(
            f"reduce_tokens: quota must be sample or image and turns each, union, keep or without_text, got {policy.quota!r} "
            f"and {policy.turns!r}."
        )
    if getattr(model, "_bus_reduction", None) is not None:
        raise ComponentError(
            f"reduce_tokens: {type(model).__name__} is reduced already. Call remove() of that reduction first, or give all "
            "selectors at once."
        )
    if getattr(decoder.config, "use_sliding_window", False):
        raise ComponentError(
            f"reduce_tokens: layers of {type(decoder).__name__} read a sliding window of places, which selection would widen. "
            "Load the model with use_sliding_window=False."
        )


def _check_added_later(model: Any, family: Family, in_layers: Mapping[int, PatchSelector]) -> None:
    added = family.added_later(model.config)
    if in_layers and min(in_layers) < added:
        raise ComponentError(
            f"reduce_tokens: blocks of selectors must be {added} or later in {family.name}, which adds visual features after its "
            f"first {added} layers, got {min(in_layers)}. Use projected= to select before them."
        )


def _check_without_text(selectors: Mapping[int, PatchSelector]) -> None:
    for selector in selectors.values():
        if selector.needs_text:
            raise ComponentError(
                f"reduce_tokens: vision= needs selectors without a text, got {type(selector).__name__}: a tower reads images "
                "alone. Use it in selectors= or projected=."
            )
