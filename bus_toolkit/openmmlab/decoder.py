"""mmpretrain's BLIP decoder, able to write beside current versions of transformers."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.multimodal import XBertLMHeadDecoder as Decoder
from transformers import GenerationMixin

from bus_toolkit.mmpretrain_shim import require_transformers_4


class XBertLMHeadDecoder(Decoder, GenerationMixin):
    """mmpretrain's decoder of the same name with ``generate``, which transformers 4.50 took from its models.

    ``bus_toolkit.XBertLMHeadDecoder`` in the place of ``XBertLMHeadDecoder`` lets ``BlipCaption`` and ``BlipVQA``
    predict; names and values of weights are the same.

    Raises:
        ComponentError: transformers is of version 5 or later.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        require_transformers_4("decoder: XBertLMHeadDecoder")
        super().__init__(*args, **settings)
