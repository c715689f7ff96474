"""A patch selector that looks at the image alone: what differs from the average patch stays."""

from __future__ import annotations

from torch import Tensor

from bus_toolkit import hookimpl
from bus_toolkit.registry import Registries
from bus_toolkit.selectors import BlockView, PatchSelector


class SaliencySelector(PatchSelector):
    """Rank each patch by how far it lies from its image's mean patch; goes into ``model.selectors``.

    A baseline between ``Random`` and the text-aware selectors: it has no parameters and reads no text, so the
    same patches survive for every caption.
    """

    def score(self, view: BlockView) -> Tensor:
        """Return the distances (B, N), in units of the features, without gradient."""
        patches = view.patches.detach()
        return (patches - patches.mean(dim=1, keepdim=True)).norm(dim=-1)


@hookimpl
def register_components(registries: Registries) -> None:
    """Make the selector known as ``Saliency``."""
    registries.selectors.register(SaliencySelector, name="Saliency")
