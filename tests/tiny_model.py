"""A whole model at width 32 with a toy tokenizer, for tests of the assembly and the heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.structures import DataSample

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.decoders.pad import PatchAbstractionDecoder
from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.heads.prefix_lm import PrefixLMHead
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from bus_toolkit.step.parts import Parts
from bus_toolkit.structures import TokenBatch, Vocabulary
from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_encoders.bert import BertTextEncoder
from tests.tiny import VOCABULARY, WIDTH, tiny_vit


class LetterTokenizer:
    """One token a letter: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then a to z."""

    vocab_size, max_length = VOCABULARY, 12
    pad_token_id, cls_token_id, sep_token_id, mask_token_id = 0, 2, 3, 4
    special_ids = (0, 1, 2, 3, 4)

    def __call__(self, texts: list[str]) -> TokenBatch:
        rows = [[2, *(ord(letter) - ord("a") + 5 for letter in text), 3] for text in texts]
        length = max(len(row) for row in rows)
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        return TokenBatch(ids, ids != 0)

    def ids_of_words(self, words: Sequence[str]) -> list[int]:
        return [ord(letter) - ord("a") + 5 for letter in words]

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [chr(i - 5 + ord("a")) for i in ids]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.convert_ids_to_tokens([i for i in ids if i not in self.special_ids]))


LETTERS = Vocabulary.of(LetterTokenizer())


def tiny_heads(**itc: Any) -> dict[str, VLPHead]:
    """Return all five objectives."""
    return {
        "itc": ITCHead(embed_dim=WIDTH, text_dim=WIDTH, feature_dim=16, **itc),
        "itm": ITMHead(text_dim=WIDTH),
        "mlm": MLMHead(text_dim=WIDTH, vocabulary=LETTERS, mask_prob=0.3),
        "prefix_lm": PrefixLMHead(),
        "ptm": PatchTextHead(patch_size=8),
    }


def tiny_reference(seed: int = 3, **settings: Any) -> BertTextDecoder:
    """Return a decoder that reads no image."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = {"text_dim": WIDTH, "num_layers": 1, "num_heads": 4, "max_text_length": 12, "cross_attention": False}
        return BertTextDecoder(vocab_size=VOCABULARY, pad_token_id=0, **{**sizes, **settings})


def tiny_model(
    mode: str = "shared",
    without_text: str = "cls",
    selectors: list[PatchSelector] | None = None,
    momentum: dict[str, Any] | None = None,
    heads: dict[str, VLPHead] | None = None,
    prior: FusionPrior | None = None,
    **decoder: Any,
) -> VLPModel:
    """Return a model with TSPS after block 2 and PAD (with these settings), in training mode."""
    torch.manual_seed(0)
    default = TextSemanticPatchSelector(blocks=[2], embed_dim=WIDTH, text_dim=WIDTH)
    parts = Parts(
        tokenizer=LetterTokenizer(),
        text_encoder=BertTextEncoder(
            vocab_size=VOCABULARY, pad_token_id=0, num_layers=1, hidden_size=WIDTH, num_heads=4, max_text_length=12
        ),
        backbone=TokenReducingBackbone(tiny_vit(), [default] if selectors is None else selectors),
        decoder=PatchAbstractionDecoder(embed_dim=WIDTH, num_layers=1, num_heads=4, **decoder),
        fusion=CrossAttentionFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=1, num_heads=4),
        text_decoder=BertTextDecoder(
            vocab_size=VOCABULARY, pad_token_id=0, text_dim=WIDTH, num_layers=1, num_heads=4, max_text_length=12
        ),
        prior=prior,
    )
    conditioning = Conditioning(mode, without_text)  # type: ignore[arg-type]
    return VLPModel(parts, heads or tiny_heads(), conditioning=conditioning, momentum=momentum)


def sample(text: str, image_id: int, boxed: bool = True, **fields: Any) -> DataSample:
    """Return a data sample whose box covers the upper left quarter of a 32 px image."""
    out = DataSample()
    out.set_field(text, "text", dtype=None)
    out.set_field(image_id, "image_id", dtype=None)
    if boxed:
        out.set_field(torch.tensor([[0.0, 0.0, 16.0, 16.0], [24.0, 24.0, 32.0, 32.0]]), "gt_boxes", dtype=None)
        out.set_field(torch.tensor([True, False]), "named", dtype=None)
    for name, value in fields.items():
        out.set_field(value, name, dtype=None)
    return out


def samples(boxed: bool = True) -> list[DataSample]:
    """Return four captions of different lengths for four images."""
    return [sample(text, index, boxed) for index, text in enumerate(["abcd", "ef", "ghijk", "lmn"])]
