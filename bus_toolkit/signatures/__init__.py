"""The arguments that a registered class takes, and whether YAML values fit them."""

from bus_toolkit.signatures.arguments import Argument, Signature, signature_of
from bus_toolkit.signatures.check import at, check_arguments, of_right_kind
from bus_toolkit.signatures.forwarding import forwards_to_super
from bus_toolkit.signatures.kinds import describe_kind, fits
from bus_toolkit.signatures.meanings import argument_meanings
from bus_toolkit.signatures.nearest import MOST_HINTS, did_you_mean

__all__ = [
    "Argument",
    "MOST_HINTS",
    "Signature",
    "argument_meanings",
    "at",
    "check_arguments",
    "describe_kind",
    "did_you_mean",
    "fits",
    "forwards_to_super",
    "of_right_kind",
    "signature_of",
]
