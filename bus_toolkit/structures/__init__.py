"""The typed objects that travel between the parts."""

from bus_toolkit.structures.selections import Decision, Guide, LearnsFrom, PatchScores, Selection
from bus_toolkit.structures.texts import Beginnings, Condition, Masked, Similarity, TextTokens, TokenBatch
from bus_toolkit.structures.visual import Boxes, FusedTokens, SharedTokens, VisualTokens
from bus_toolkit.structures.vocabulary import Vocabulary

__all__ = [
    "Beginnings",
    "Boxes",
    "Condition",
    "Decision",
    "FusedTokens",
    "Guide",
    "LearnsFrom",
    "Masked",
    "PatchScores",
    "Selection",
    "SharedTokens",
    "Similarity",
    "TextTokens",
    "TokenBatch",
    "VisualTokens",
    "Vocabulary",
]
