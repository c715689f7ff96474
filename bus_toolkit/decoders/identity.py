"""The decoder that hands the backbone's tokens on."""

from __future__ import annotations

from torch import nn

from bus_toolkit.structures import TextTokens, VisualTokens


class IdentityDecoder(nn.Module):
    """Return the visual tokens as they are (``Identity``). Goes into ``model.decoder``."""

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Return ``visual``."""
        return visual
