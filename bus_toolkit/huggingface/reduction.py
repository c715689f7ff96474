"""Selectors put into a vision-language model of transformers, and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle
from typing_extensions import Self

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.building import AnySelector, Chosen, listed
from bus_toolkit.huggingface.families import decoder_of, family_of
from bus_toolkit.huggingface.following import Following
from bus_toolkit.huggingface.language_model import LanguageModelReduction
from bus_toolkit.huggingface.policy import Policy
from bus_toolkit.huggingface.tower import TowerReduction
from bus_toolkit.huggingface.turns import Turns
from bus_toolkit.huggingface.visual_places import Quota
from bus_toolkit.structures import Selection


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

    Works until ``remove()`` of what it returns, or to the end of its ``with`` block, in calls of the model, in
    ``generate`` and in training. Nothing of the model is copied or patched. A selector at block b acts after layer b
    and reads its attention; one whose ``site`` is ``before_block`` acts before layer b, by the queries and keys that
    it will use. In training, selectors read nothing from the first label on. Gradient checkpointing leaves the layers
    around it alone. Hidden states that are asked for have the whole width, attention maps that of what is left.

    Selectors with parameters belong to you: give them to your optimizer, save them with your weights.

    Args:
        model: Such as ``LlavaForConditionalGeneration`` or ``Qwen2_5_VLForConditionalGeneration``, with its head or
            without, also with adapters around it; see ``FAMILIES``.
        selectors: In the language model; each names its layers in ``blocks``. Selectors, or mappings of a type and
            arguments as in a YAML file.
        projected: One, before the language model, on projected features; a mapping may leave ``blocks``, [1], out.
        vision: In the vision tower, of LLaVA and PaliGemma.
        quota: ``sample``: all visual tokens of a sample are ranked together; ``image``: those of each image, or of each
            frame or tile where the model makes several of one. Images of LLaVA-NeXT and LLaVA-OneVision without a text
            between them are one.
        turns: When a conversation is given again with another turn: select for ``each`` turn again; keep the ``union``
            of what the turns chose; ``keep`` the first choice; or select ``without_text`` (in PaliGemma, whose images
            read the text in each layer, by ``projected`` and ``vision`` alone). A filled cache keeps what its prefill
            kept.
        around_selection: Opened around each selection, such as a timer.

    Raises:
        ComponentError: No model of a known family, no selector, a block that it does not have, two selectors at one
            place, a selector that needs what is not there, a model that is reduced already.
    """
    policy = Policy(quota, turns, around_selection)
    return Reduction(model, inside=listed(selectors), projected=projected, vision=listed(vision), policy=policy)


class Reduction:
    """Selectors in a model, until ``remove()``; also a context manager.

    A deep copy has a copy of the model, which it can be removed from.

    Attributes:
        model: The model.
        selectors: All that are in it; those made of mappings are where the model is, in its number type and its mode,
            and follow it when these change.
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
        family, self.model = family_of(model), model
        self._decoder = decoder_of(model)
        if LanguageModelReduction.is_in(self._decoder):
            raise ComponentError(
                f"reduce_tokens: {type(model).__name__} is reduced already. Call remove() of that reduction first, or "
                "give all selectors at once. A copy of a reduced model is reduced, too; copy.deepcopy(reduction) gives "
                "one with a reduction of its own."
            )
        chosen = Chosen.of(model, family, self._decoder, inside=inside, projected=projected, vision=vision)
        self.selectors = chosen.selectors
        given = {id(one) for one in (*inside, projected, *vision)}
        self._following = Following(model, [one for one in chosen.selectors if id(one) not in given])
        self._tower, self._parts = None, [self._decoder]
        if chosen.parts is not None:
            self._parts.append(chosen.parts.tower)
            self._tower = TowerReduction(chosen.parts, chosen.vision, policy.around_selection)
        self._language_model = LanguageModelReduction(
            model,
            family,
            self._decoder,
            projected=chosen.projected,
            inside=chosen.inside,
            after_tower=self._tower is not None,
            policy=policy,
        )
        self._handles: list[RemovableHandle] = []
        self._install()

    def _install(self) -> None:
        # Everything that can be refused has been: nothing below fails half-way.
        self._handles.extend(self._following.install(self._parts))
        if self._tower is not None:
            self._handles.extend(self._tower.install())
        self._handles.extend(self._language_model.install())

    def remove(self) -> None:
        """Take the selectors out; the model is as it was before. Caches filled until now cannot be used any more."""
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        if self._tower is not None:
            self._tower.close()
        self._language_model.close()
        self._handles = []

    def forget(self) -> None:
        """Begin a new conversation: no earlier turn counts any more."""
        self._language_model.conversation.forget()

    @property
    def kept(self) -> Tensor | None:
        """Which places of the last prefill left the language model, bool (B, W); ``None`` if it had no images."""
        prefill = self._language_model.prefill
        return None if prefill is None else prefill.left.kept()

    @property
    def counts(self) -> tuple[int, ...]:
        """How many visual tokens each row of the last prefill had at the end; empty if it had no images."""
        prefill = self._language_model.prefill
        if prefill is None:
            return ()
        return tuple((prefill.left.kept() & prefill.visual.is_visual).sum(dim=1).tolist())

    @property
    def selections(self) -> list[Selection]:
        """What was decided inside the language model and before it in the last prefill, by units of one size.

        Their ``block`` is the layer that they were decided after, 0 for the input of the first.
        """
        prefill = self._language_model.prefill
        return [] if prefill is None else [one for group in prefill.last.groups for one in group.selections]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()
