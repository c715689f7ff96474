"""Code of a user's inside a transformer that does not run: the backbone calls the parts of some modules alone.

The transformer itself is never called as a whole, and a block that a selector enters is run by its parts. So a forward
pass of one's own in these modules, or hooks on them, would be left out without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.block_passes import RECOMPUTED

_log = logging.getLogger(__name__)
_OURS = ("torch", "bus_toolkit")


class OwnCode:
    """Warn, once a module class and place, of code that does not run.

    Args:
        adapter: What takes the transformer apart.
    """

    def __init__(self, adapter: TransformerAdapter) -> None:
        self._known = (*adapter.libraries, *_OURS) if adapter.libraries else ()
        self._adapter = adapter
        self._warned: set[str] = set()

    def look_at_transformer(self) -> None:
        """Look at the transformer, whose embedding, blocks and last norm are called one by one."""
        if not self._adapter.calls_transformer:
            self._look([getattr(self._adapter.vit, "_orig_mod", self._adapter.vit)], "only its parts are called")

    def look_at_block(self, block: int, layer: Any) -> None:
        """Look at a block that runs by its parts, since a selector enters it or has weighed its keys."""
        self._look(self._adapter.bypassed(layer), f"block {block} runs by its parts, for the selectors")

    def _look(self, modules: Iterable[nn.Module], reason: str) -> None:
        if torch.compiler.is_compiling():
            return
        for module in modules:
            what = self._own_code(module)
            if what and what not in self._warned:
                self._warned.add(what)
                _log.warning(
                    "model.backbone: %s does not run: %s. What it changes is missing in the result. Move it into a "
                    "module that is called (a linear layer, a norm, the feed-forward part), or give the transformer a "
                    "token_adapter().",
                    what,
                    reason,
                )

    def _own_code(self, module: nn.Module) -> str | None:
        """Return what is the user's own in a module, in a few words."""
        name = type(module).__name__
        if "forward" in vars(module) and not hasattr(module, RECOMPUTED):
            return f"the forward that was set on a {name}"
        if any(not _is_ours(hook) for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())):
            return f"a forward hook on a {name}"
        owner = next((cls for cls in type(module).__mro__ if "forward" in vars(cls)), nn.Module)
        if self._known and owner.__module__.partition(".")[0] not in self._known:
            return f"{owner.__name__}.forward"
        return None


def _is_ours(hook: Callable[..., Any]) -> bool:
    owner = getattr(getattr(hook, "func", hook), "__module__", None) or ""
    return owner.partition(".")[0] in _OURS
