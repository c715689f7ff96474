"""One batch on its way through the model: its rows, its encodings under each condition, and what a head is given."""

from bus_toolkit.step.batch import Batch
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.momentum import MomentumPasses
from bus_toolkit.step.parts import Parts
from bus_toolkit.step.pass_key import Hidden, PassCount, PassKey
from bus_toolkit.step.passes import Passes
from bus_toolkit.step.step import Step
from bus_toolkit.step.texts import Texts

__all__ = ["Batch", "Encoders", "Hidden", "MomentumPasses", "Parts", "PassCount", "PassKey", "Passes", "Step", "Texts"]
