"""mmpretrain's BLIP for questions, captions, grounding and statements, its patches selected by their texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.models.multimodal import BlipCaption, BlipGrounding, BlipNLVR, BlipVQA
from typing_extensions import override

from bus_toolkit.openmmlab.text_aware import ReadsOneText
from bus_toolkit.openmmlab.texts import bert_texts, sample_texts
from bus_toolkit.structures import TextTokens


class TextAwareBlipVQA(ReadsOneText, BlipVQA):
    """mmpretrain's ``BlipVQA`` whose question selects the patches.

    The question alone, in training and prediction; its encoder is ``multimodal_backbone`` in text mode. Frames of a
    video share their question.
    """

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        questions = sample_texts(data_samples, "question", self)
        return bert_texts(self.text_model, self.tokenizer, questions)


class TextAwareBlipNLVR(ReadsOneText, BlipNLVR):
    """mmpretrain's ``BlipNLVR`` whose statement selects the patches of both images."""

    repeat = "all"  # first images of all samples, then second ones

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        statements = sample_texts(data_samples, "text", self)
        return bert_texts(self.text_model, self.tokenizer, statements, max_length=self.max_txt_len)


class TextAwareBlipGrounding(ReadsOneText, BlipGrounding):
    """mmpretrain's ``BlipGrounding`` whose expression selects the patches.

    With a ``patch_text_weight``, the box of the expression (``box``) teaches the selector.
    """

    backbone_name = "visual_encoder"
    text_model_name = "text_encoder"
    boxes_key = "box"

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        return bert_texts(self.text_model, self.tokenizer, sample_texts(data_samples, "text", self), max_length=128)


class TextAwareBlipCaption(ReadsOneText, BlipCaption):
    """mmpretrain's ``BlipCaption`` whose prompt selects the patches, the same for all images.

    Never the caption, which the decoder still has to write. The prompt is encoded by the decoder's BERT in text mode,
    without its causal mask (our choice: the model has no text encoder).
    """

    backbone_name = "visual_encoder"
    text_model_name = "seq_gen_head.decoder.bert"

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        return bert_texts(self.text_model, self.tokenizer, [self.prompt])
