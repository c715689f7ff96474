"""Which prefill filled a cache of transformers: the cache itself carries it, so that copies of it do, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import DataError
from bus_toolkit.huggingface.prefill import Prefill

_NAMES = ("cache", "past_key_values")  # in transformers 5, and before
_MARK = "_bus_toolkit_prefill"


@dataclass(frozen=True)
class _Mark:
    owner: int
    prefill: Prefill


def cache_of(arguments: Mapping[str, Any]) -> Any:
    """Return the cache among the arguments or outputs of a module; ``None`` if there is none."""
    # By the names that are there: transformers 5 warns of the old one.
    found = [arguments[name] for name in arguments if name in _NAMES]
    return next((one for one in found if one is not None), None)


def put_prefill(cache: Any, prefill: Prefill, owner: int) -> None:
    """Note which prefill has filled ``cache``, under the reduction of the number ``owner``."""
    if cache is not None:
        setattr(cache, _MARK, _Mark(owner, prefill))


def prefill_of(cache: Any, owner: int, *, batch: int, num_layers: int) -> Prefill | None:
    """Return the prefill that has filled a cache; ``None`` if nothing was dropped in it.

    A cache that was cut to fewer of the tokens since its prefill (``crop``) has lost fewer of them, or none, in the
    layers that hold less: the rest is cut off here.

    Args:
        cache: A filled cache.
        owner: The number of the reduction.
        batch: Rows of the call.
        num_layers: Layers of the language model.

    Raises:
        DataError: It was filled under another reduction, or has been changed since.
    """
    mark = getattr(cache, _MARK, None)
    first, last = int(cache.get_seq_length(0)), int(cache.get_seq_length(num_layers - 1))
    if mark is None:
        if first != last:
            raise _foreign(f"{first} tokens in the first layer and {last} in the last")
        return None
    prefill = mark.prefill
    if mark.owner != owner:
        raise _foreign("one of another reduction")
    wanted = prefill.left.places.shape[1] + first - prefill.width
    rows = prefill.entry.places.shape[0]
    if first >= prefill.width and last > wanted:
        _cut(cache, prefill, first - prefill.width, num_layers)
        last = int(cache.get_seq_length(num_layers - 1))
    if first < prefill.width or last != wanted or rows != batch:
        raise _foreign(
            f"{first} tokens in the first layer and {last} in the last for {batch} rows, after a prefill that left "
            f"{prefill.width} and {wanted - first + prefill.width} for {rows}"
        )
    return prefill


def _cut(cache: Any, prefill: Prefill, later: int, num_layers: int) -> None:
    """Leave only so many tokens since the prefill in each layer."""
    for number in range(num_layers):
        surplus = int(cache.get_seq_length(number)) - prefill.layout_at(number).places.shape[1] - later
        if surplus > 0:
            cache.layers[number].crop(-surplus)  # transformers 5 takes no length, only how many to remove


def _foreign(got: str) -> DataError:
    return DataError(
        "reduce_tokens: past_key_values must come from a call under the same reduction and hold all of its prompt, got "
        f"{got}. Run the whole conversation again without them. Assisted decoding and prompt lookup cannot be used: "
        "they put guesses into the prompt, which would choose what is seen, and cut them out of the cache."
    )
