"""ViLT's weights: a single-stream model gives what transformers' model, and ViLT's own names, compute from them."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.decoders.identity import IdentityDecoder
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.parts import Parts
from bus_toolkit.structures import FusedTokens, TokenBatch
from bus_toolkit.text_encoders.bert import BertTextEncoder
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.mapping import from_target
from bus_toolkit.weights.table_files import layouts
from tests.tiny_model import LETTERS, LetterTokenizer
from tests.weights import vlp_sources as vlp
from tests.weights.sources import images, randomised, saved

EXACT = {"atol": 1e-5, "rtol": 1e-5}


def ours() -> VLPModel:
    sizes = {"vocab_size": vlp.VOCABULARY, "pad_token_id": 0, "num_heads": vlp.HEADS, "max_text_length": 12}
    parts = Parts(
        tokenizer=LetterTokenizer(),
        text_encoder=BertTextEncoder(**sizes, num_layers=0, hidden_size=vlp.WIDTH),  # type: ignore[arg-type]
        backbone=TokenReducingBackbone(vlp.tower(norm_cfg={"type": "LN", "eps": 1e-12})),
        decoder=IdentityDecoder(),
        fusion=SingleStreamFusion(text_dim=vlp.WIDTH, embed_dim=vlp.WIDTH),
    )
    vocabulary = type(LETTERS)(**{**vars(LETTERS), "size": vlp.VOCABULARY})
    heads = {"itm": ITMHead(text_dim=vlp.WIDTH), "mlm": MLMHead(text_dim=vlp.WIDTH, vocabulary=vocabulary)}
    return randomised(VLPModel(parts, heads), seed=3)


def vilt() -> hf.ViltForMaskedLM:
    config = hf.ViltConfig(
        vocab_size=vlp.VOCABULARY,
        hidden_size=vlp.WIDTH,
        num_hidden_layers=2,
        num_attention_heads=vlp.HEADS,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        max_position_embeddings=12,
    )
    return randomised(hf.ViltForMaskedLM(config), seed=5)


def batch() -> TokenBatch:
    ids, mask = vlp.batch()
    return TokenBatch(ids, mask.masked_fill(torch.tensor([[0] * 6, [0, 0, 0, 0, 1, 1]]).bool(), False))


def fused(model: VLPModel, tokens: TokenBatch) -> FusedTokens:
    visual = model.encoders.encode_visual(model.encoders.encode_shared(images()), None)
    return model.encoders.fuse(model.encoders.encode_text(tokens), visual)


def test_transformers_model_gives_the_same_states_pooled_token_and_words(tmp_path: Path) -> None:
    theirs, model, tokens = vilt(), ours(), batch()
    report = load_pretrained(model, saved(theirs.state_dict(), tmp_path / "vilt.pth"), part="model")
    assert report.layout == "hf-vilt"
    assert sorted(report.missing) == ["heads.itm.classifier.bias", "heads.itm.classifier.weight"]
    out = fused(model, tokens)
    wanted = theirs.vilt(tokens.input_ids, attention_mask=tokens.attention_mask.long(), pixel_values=images())
    read = tokens.attention_mask
    torch.testing.assert_close(out.text[read], wanted.last_hidden_state[:, :6][read], **EXACT)
    torch.testing.assert_close(out.cls, wanted.pooler_output, **EXACT)
    # Its patches come in a random order: compared as a sum.
    torch.testing.assert_close(out.visual.sum(dim=1), wanted.last_hidden_state[:, 6:].sum(dim=1), atol=1e-4, rtol=1e-5)
    places = torch.tensor([[1, 2], [2, 3]])
    scores = theirs.mlm_score(wanted.last_hidden_state[:, :6])
    got = model.heads["mlm"].logits(out, places)
    # The epsilon of the head's norm is 1e-5 here and 1e-12 there.
    torch.testing.assert_close(got, scores.gather(1, places.unsqueeze(-1).expand_as(got)), atol=1e-4, rtol=1e-4)


def test_the_names_of_vilt_itself_load_as_well(tmp_path: Path) -> None:
    source, model, tokens = ours(), ours(), batch()
    randomised(source, seed=8)
    tensors = from_target(source.state_dict(), layouts()["vilt"].rules).tensors
    assert "transformer.blocks.1.attn.qkv.weight" in tensors and "itm_score.fc.bias" in tensors
    report = load_pretrained(model, saved(tensors, tmp_path / "vilt.ckpt"), part="model")
    assert (report.layout, report.missing, report.unexpected) == ("vilt", [], [])
    assert torch.equal(fused(model, tokens).cls, fused(source, tokens).cls)
