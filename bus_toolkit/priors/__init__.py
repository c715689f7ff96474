"""Priors: what is known about visual tokens before the text reads them, for the attention of the fusion."""

from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.priors.selector_score import SelectorScorePrior
from bus_toolkit.priors.text_score import TextScorePrior

__all__ = ["FusionPrior", "SelectorScorePrior", "TextScorePrior"]
