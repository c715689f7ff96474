"""Text encoders."""

from bus_toolkit.text_encoders.bert import BertTextEncoder

__all__ = [
    "BertTextEncoder",
]
