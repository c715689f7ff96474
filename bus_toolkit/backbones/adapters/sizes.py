"""Whether an adapter says what the other parts are built for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.errors import ComponentError, describe


def check_sizes(adapter: Any) -> None:
    """Refuse an adapter that does not say what it must.

    Raises:
        ComponentError: It is no ``TransformerAdapter``, or a size is missing or of the wrong kind.
    """
    if not isinstance(adapter, TransformerAdapter):
        raise ComponentError(
            f"model.backbone: token_adapter() must return an adapter, got {describe(adapter)}. Return a BlocksAdapter, "
            "a FeatureMapAdapter or a TransformerAdapter of bus_toolkit.backbones."
        )
    name = type(adapter.vit).__name__
    for key, count in (("image_size", 2), ("patch_size", 2), ("embed_dim", 1), ("num_prefix", 1)):
        value = getattr(adapter, key, None)
        numbers = value if isinstance(value, Sequence) else (value,)
        if len(numbers) != count or not all(isinstance(n, int) and n >= int(key != "num_prefix") for n in numbers):
            wanted = "(rows, columns) in pixels" if count == 2 else "a whole number"
            raise ComponentError(
                f"model.backbone: the adapter of {name} must have {key} as {wanted}, got {value!r}. Set it in "
                "token_adapter()."
            )
