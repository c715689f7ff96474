"""Our parts in OpenMMLab's tree of registries: ``bus_toolkit.TSPS`` is one of its models there."""

from __future__ import annotations

from typing import Any

from mmengine.registry import Registry

from bus_toolkit.errors import ComponentError
from bus_toolkit.registry.kinds import REGISTRIES, Registries
from bus_toolkit.signatures import did_you_mean


class ModelRegistry(Registry):
    """MMEngine's registry of our models, in which each registered part is a model, too, plugins' parts included.

    ``MODELS.build(dict(type="bus_toolkit.TSPS", blocks=[6], ...))`` of any OpenMMLab library makes the object that a
    ``VLPModel`` makes of the node, but fills in nothing: widths that a model would know have to be written.

    A name means, in this order: a model registered here; the one part of that name; what OpenMMLab registered under it.
    A name that parts of several kinds have is refused, and each of them is ``<name><Kind>``: ``IdentitySelector``,
    ``IdentityDecoder``. OpenMMLab's own parts keep their names, as theirs are in other scopes (``mmpretrain.ITCHead``).

    Args:
        name: As for MMEngine's.
        parts: The registries of the parts.
        **settings: As for MMEngine's.
    """

    def __init__(self, name: str, parts: Registries = REGISTRIES, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._parts = parts

    def get(self, key: str) -> Any:
        """Return the class or function registered as ``key``.

        Raises:
            ComponentError: Parts of several kinds have this name, or nothing has it; the message says what there is.
        """
        scope, name = self.split_scope_key(key) if isinstance(key, str) else (None, "")
        if scope in (None, self.scope) and name not in self.module_dict:
            part = self._part(name)
            if part is not None:
                return part
        known = super().get(key)
        if known is None:
            names = [*self.module_dict, *self.part_names()]
            raise ComponentError(
                f"type: no model and no part of ours is named {name!r}, got {key}.{did_you_mean(name, names)} Models: "
                f"{', '.join(sorted(self.module_dict)) or 'none'}. 'bus-toolkit describe parts' lists the parts."
            )
        return known

    def __contains__(self, key: object) -> bool:
        """Return whether ``get`` returns something."""
        try:
            return isinstance(key, str) and self.get(key) is not None
        except ComponentError:
            return False

    def part_names(self) -> list[str]:
        """Return the names of the parts here, sorted; names that several kinds have are in their long form."""
        kinds = {parts.slot: parts.names() for parts in self._parts.all()}
        names = [name for of_kind in kinds.values() for name in of_kind]
        return sorted(
            name if names.count(name) == 1 and name not in self.module_dict else _long_name(name, slot)
            for slot, of_kind in kinds.items()
            for name in of_kind
        )

    def _part(self, name: str) -> Any:
        named = [parts for parts in self._parts.all() if name in parts.names()]
        if len(named) == 1:
            return named[0].get(name).cls
        if named:
            raise ComponentError(
                f"type: parts of several kinds are named {name!r}, got {self.scope}.{name}. Write "
                f"{' or '.join(f'{self.scope}.{_long_name(name, parts.slot)}' for parts in named)}."
            )
        for parts in self._parts.all():
            for short in parts.names():
                if name == _long_name(short, parts.slot):
                    return parts.get(short).cls
        return None


def _long_name(name: str, slot: str) -> str:
    """Return a name with its kind: ``Identity`` in ``selectors`` is ``IdentitySelector``."""
    return name + "".join(word.capitalize() for word in slot.removesuffix("s").split("_"))
