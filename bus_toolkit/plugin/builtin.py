"""The built-in parts, registered through the same hook as a plugin's."""

from __future__ import annotations

from bus_toolkit.plugin.spec import hookimpl
from bus_toolkit.registry import MODELS, Registries


@hookimpl
def register_components(registries: Registries) -> None:
    """Register all parts and Runner components of this package; they are imported only now."""
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    _register_parts(registries)
    _register_heads(registries)
    # These register their members with MMEngine when they are imported.
    import bus_toolkit.data
    import bus_toolkit.engine
    import bus_toolkit.evaluation  # noqa: F401
    from bus_toolkit.models.build import build_caption_lm, build_vlp_model
    from bus_toolkit.openmmlab.backbone import TokenReducedViT

    MODELS.register_module(name="VLPModel", module=build_vlp_model, force=True)
    MODELS.register_module(name="CaptionLanguageModel", module=build_caption_lm, force=True)
    MODELS.register_module(name="TokenReducedViT", module=TokenReducedViT, force=True)


def _register_parts(registries: Registries) -> None:
    from bus_toolkit.backbones.conv_stem import conv_stem_vit
    from bus_toolkit.backbones.huggingface_vision import huggingface_vision
    from bus_toolkit.backbones.timm_vision import timm_vision
    from bus_toolkit.decoders.average_pool import AveragePool
    from bus_toolkit.decoders.c_abstractor import CAbstractor
    from bus_toolkit.decoders.identity import IdentityDecoder
    from bus_toolkit.decoders.pad import PatchAbstractionDecoder
    from bus_toolkit.decoders.qformer import QFormer
    from bus_toolkit.decoders.resampler import PerceiverResampler
    from bus_toolkit.decoders.token_packer import TokenPacker
    from bus_toolkit.fusion.co_attention import CoAttentionFusion
    from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
    from bus_toolkit.fusion.skip_connected import SkipConnectedFusion
    from bus_toolkit.selectors.identity import IdentitySelector
    from bus_toolkit.selectors.look_ahead import LookAheadSelector
    from bus_toolkit.selectors.random import RandomSelector
    from bus_toolkit.selectors.text_aware_detector import TextAwarePatchDetector
    from bus_toolkit.selectors.text_guided_attention import TextGuidedAttentionSelector
    from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
    from bus_toolkit.text_decoders.bert import BertTextDecoder
    from bus_toolkit.text_decoders.causal_lm import CausalLMFolder
    from bus_toolkit.text_encoders.bert import BertTextEncoder
    from bus_toolkit.tokenizers.wordpiece import CorpusTokenizer, WordPieceTokenizer

    registries.tokenizers.register(WordPieceTokenizer)
    registries.tokenizers.register(CorpusTokenizer)
    registries.text_encoders.register(BertTextEncoder)
    registries.backbones.register(conv_stem_vit, name="ConvStemViT")
    registries.backbones.register(huggingface_vision, name="HuggingFaceVision")
    registries.backbones.register(timm_vision, name="TimmVision")
    registries.selectors.register(TextSemanticPatchSelector, name="TSPS")
    registries.selectors.register(TextAwarePatchDetector, name="TPD")
    registries.selectors.register(LookAheadSelector, name="ELIP")
    registries.selectors.register(TextGuidedAttentionSelector, name="TRIPS")
    registries.selectors.register(IdentitySelector, name="Identity")
    registries.selectors.register(RandomSelector, name="Random")
    registries.decoders.register(PatchAbstractionDecoder, name="PAD")
    registries.decoders.register(IdentityDecoder, name="Identity")
    for decoder in (PerceiverResampler, QFormer, CAbstractor, TokenPacker, AveragePool):
        registries.decoders.register(decoder)
    registries.fusions.register(CrossAttentionFusion)
    registries.fusions.register(SkipConnectedFusion)
    registries.fusions.register(CoAttentionFusion)
    registries.text_decoders.register(BertTextDecoder)
    registries.text_decoders.register(CausalLMFolder)


def _register_heads(registries: Registries) -> None:
    from bus_toolkit.heads.caption import CaptionHead
    from bus_toolkit.heads.classification import ClassificationHead
    from bus_toolkit.heads.grounding import GroundingHead
    from bus_toolkit.heads.itc import ITCHead
    from bus_toolkit.heads.itm import ITMHead
    from bus_toolkit.heads.mlm import MLMHead
    from bus_toolkit.heads.patch_text import PatchTextHead
    from bus_toolkit.heads.prefix_lm import PrefixLMHead
    from bus_toolkit.heads.prior_lm import PriorLMHead
    from bus_toolkit.heads.vqa import VQAHead

    lm_heads = (MLMHead, PrefixLMHead, PriorLMHead, CaptionHead, VQAHead)
    for head in (ITCHead, ITMHead, *lm_heads, PatchTextHead, ClassificationHead, GroundingHead):
        registries.heads.register(head)
