"""mmpretrain's BLIP decoder, able to write beside current versions of transformers."""

from __future__ import annotations

from mmpretrain.models.multimodal import XBertLMHeadDecoder as Decoder
from transformers import GenerationMixin


class XBertLMHeadDecoder(Decoder, GenerationMixin):
    """mmpretrain's decoder of the same name with ``generate``, which transformers 4.50 took from its models.

    ``bus_toolkit.XBertLMHeadDecoder`` in the place of ``XBertLMHeadDecoder`` lets ``BlipCaption`` and ``BlipVQA``
    predict; names and values of weights are the same.
    """
