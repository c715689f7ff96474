"""Ask a selector about the visual tokens of a sequence.

Shapes: B batch, n places of the sequence at this point, U units of one size, N tokens of each, L words, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.access import LayerAccess, SequencePlaces
from bus_toolkit.huggingface.following import stay_beside
from bus_toolkit.huggingface.recorded_attention import RecordedAttention
from bus_toolkit.huggingface.sequence import Sequence
from bus_toolkit.huggingface.turns import Earlier
from bus_toolkit.huggingface.unit_groups import UnitGroup
from bus_toolkit.huggingface.with_earlier import with_earlier
from bus_toolkit.huggingface.words import Words
from bus_toolkit.selectors.base import PatchSelector, decision_of
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision, TextTokens


@dataclass(frozen=True)
class Site:
    """A place between two layers, and what a selector may read there.

    Attributes:
        block: The layer that the sequence comes out of, counted from 1, or that it enters, for a selector that acts
            before its block; 0 for the input of the first.
        attention: Returns what that layer's attention used, or would use.
        words: The text; ``None``: nobody reads it.
        asking: bool (B, n), places that count where the mean of all tokens' attention is asked for; ``None``: all.
        prefix: (B, P, D), tokens beside the sequence; ``None``: they are not there any more, or there were none.
        num_prefix: P, how many of them that layer read before the sequence.
        has_class_token: Whether the first of them sees for the whole image.
        earlier: What earlier turns of a conversation decided.
        entered: (B, w, D), what entered the first layer; ``None``: the sequence itself.
    """

    block: int
    attention: Callable[[], RecordedAttention]
    words: Words | None = None
    asking: Tensor | None = None
    prefix: Tensor | None = None
    num_prefix: int = 0
    has_class_token: bool = False
    earlier: Earlier | None = None
    entered: Tensor | None = None


def choose(selector: PatchSelector, sequence: Sequence, site: Site) -> list[Decision]:
    """Return what a selector decides on each group of visual tokens; it is asked once for all units of a group.

    Raises:
        ComponentError: A selector that needs the grid of all patches, where they are no grid or some have left.
    """
    stay_beside(selector, sequence.states)
    decisions = []
    for group in sequence.groups:
        if selector.needs_whole_grid:
            _check_grid(selector, group)
        decision = decision_of(selector, _view(sequence, group, site))
        decisions.append(decision if site.earlier is None else with_earlier(decision, group, site.earlier))
    return decisions


def _view(sequence: Sequence, group: UnitGroup, site: Site) -> BlockView:
    positions, candidates = sequence.candidates(group)
    places, text = _places(sequence, group, positions, site), _text(sequence, group, site.words)

    def entered() -> tuple[Tensor, Tensor]:
        assert site.words is not None and text is not None, "asked where there is a text"
        if site.entered is None:
            return candidates, text.embeds
        rows = group.rows.unsqueeze(1)
        return site.entered[rows, group.places], site.entered[rows, site.words.places[group.rows]]

    return BlockView(
        patches=candidates,
        prefix=candidates[:, :0] if site.prefix is None else site.prefix[group.rows],
        text=text,
        origin=group.origin,
        block=site.block,
        key_weights=group.key_weights,
        inside=LayerAccess(site.attention, places, entered),
        grid=group.grid,
    )


def _text(sequence: Sequence, group: UnitGroup, words: Words | None) -> TextTokens | None:
    if words is None or not group.has_text:
        return None
    rows = group.rows
    positions = sequence.positions(rows, words.places[rows])
    last = sequence.positions(rows, words.last[rows].unsqueeze(1)).squeeze(1)
    return TextTokens(sequence.states[rows.unsqueeze(1), positions], sequence.states[rows, last], words.mask[rows])


def _places(sequence: Sequence, group: UnitGroup, positions: Tensor, site: Site) -> SequencePlaces:
    rows, words = group.rows, site.words
    class_token = 0 if site.has_class_token else None
    if words is None or not group.has_text:
        return SequencePlaces(rows, positions + site.num_prefix, class_token=class_token, asking=site.asking)
    assert not site.num_prefix, "towers read no text"
    return SequencePlaces(
        rows,
        positions,
        words=sequence.positions(rows, words.places[rows]),
        words_mask=words.mask[rows],
        last_word=sequence.positions(rows, words.last[rows].unsqueeze(1)).squeeze(1),
        class_token=class_token,
        asking=site.asking,
    )


def _check_grid(selector: PatchSelector, group: UnitGroup) -> None:
    rows, columns = group.grid
    if group.places.shape[1] != group.origin.shape[1]:
        raise ComponentError(
            f"reduce_tokens: {type(selector).__name__} works on the grid of all visual tokens, of which an earlier "
            "selection has dropped some. Let it come first."
        )
    if rows == 1 < columns:
        raise ComponentError(
            f"reduce_tokens: {type(selector).__name__} works on a grid, but {columns} visual tokens lie in no grid "
            "that is known: images of different widths, or of a family that arranges them otherwise. Set "
            "quota='image', or use another selector."
        )
