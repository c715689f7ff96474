"""mmpretrain's BLIP-2 and MiniGPT-4 around language models of width 16, whose weights and words lie in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import CharDelimiterSplit
from transformers import BertConfig, LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from tests.models.openmmlab_tiny import vit
from tests.openmmlab.blip_tiny import WORDS

SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
_NUM_WORDS = 64


def write_language_models(folder: Path) -> dict[str, str]:
    """Write a Llama, an OPT and the config of a Q-Former; return their folders."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL.values(), *WORDS, "###", "\n"])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = CharDelimiterSplit(" ")  # BLIP-2 needs the line break
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **SPECIAL)
    sizes = {"vocab_size": _NUM_WORDS, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    models = {
        "llama": LlamaForCausalLM(LlamaConfig(intermediate_size=16, **sizes, **ids)),
        "opt": OPTForCausalLM(OPTConfig(ffn_dim=16, word_embed_proj_dim=16, **sizes, **ids)),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    BertConfig(intermediate_size=32, **{**sizes, "hidden_size": 32}).save_pretrained(folder / "qformer")
    return {name: str(folder / name) for name in (*models, "qformer")}


def plain(kind: str, folders: dict[str, str]) -> dict[str, Any]:
    """Return the config of one of mmpretrain's models."""
    raw = vit("BEiTViT", out_type="raw", use_abs_pos_emb=True, use_rel_pos_bias=False, final_norm=False)
    qformer = {
        "type": "Qformer",
        "model_style": folders["qformer"],
        "vision_model_width": 32,
        "add_cross_attention": True,
        "cross_attention_freq": 1,
        "num_query_token": 2,
    }
    if kind == "MiniGPT4":
        return {
            "type": kind,
            "vision_encoder": raw,
            "q_former_model": qformer,
            "lang_encoder": {"type": "AutoModelForCausalLM", "name_or_path": folders["llama"]},
            "tokenizer": {"type": "AutoTokenizer", "name_or_path": folders["llama"]},
            "num_query_token": 2,
            "raw_prompts": {"en": ["<Img><ImageHere></Img> what colour is the star"]},
            "generation_cfg": {"max_new_tokens": 2},
        }
    return {
        "type": kind,
        "vision_backbone": raw,
        "multimodal_backbone": qformer,
        "text_backbone": {"type": "AutoModelForCausalLM", "name_or_path": folders["opt"]},
        "vision_neck": {"type": "LinearClsHead", "in_channels": 32, "num_classes": 16},
        "tokenizer": {"type": "AutoTokenizer", "name_or_path": folders["opt"]},
        "prompt": "what is {}" if kind == "Blip2VQA" else "a picture of ",
        "max_txt_len": 8,
    }
