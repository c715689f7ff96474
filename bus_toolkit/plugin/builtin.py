"""The built-in parts by name, registered through the same hook as a plugin's.

They are text, so that nothing is imported before the registries are filled, and no module imports all parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bus_toolkit.plugin.spec import hookimpl
from bus_toolkit.registry import MODELS, Registries

# Registry -> name in a config -> module:class, below `bus_toolkit`.
PARTS: Mapping[str, Mapping[str, str]] = {
    "tokenizers": {
        "WordPieceTokenizer": "tokenizers.wordpiece:WordPieceTokenizer",
        "FolderTokenizer": "tokenizers.folder:FolderTokenizer",
        "CorpusTokenizer": "tokenizers.corpus:CorpusTokenizer",
    },
    "text_encoders": {"BertTextEncoder": "text_encoders.bert:BertTextEncoder"},
    "backbones": {
        "ConvStemViT": "backbones.conv_stem:conv_stem_vit",
        "HuggingFaceVision": "backbones.huggingface_vision:huggingface_vision",
        "TimmVision": "backbones.timm_vision:timm_vision",
    },
    "selectors": {
        "TSPS": "selectors.text_semantic:TextSemanticPatchSelector",
        "TPD": "selectors.text_semantic:TextSemanticPatchSelector",
        "ELIP": "selectors.look_ahead:LookAheadSelector",
        "TRIPS": "selectors.text_guided_attention:TextGuidedAttentionSelector",
        "Identity": "selectors.identity:IdentitySelector",
        "Objectness": "selectors.objectness:ObjectnessSelector",
        "OracleBoxes": "selectors.oracle_boxes:OracleBoxesSelector",
        "Random": "selectors.random:RandomSelector",
        "UniformGrid": "selectors.uniform_grid:UniformGridSelector",
        "GridPool": "selectors.grid_pool:GridPoolSelector",
    },
    "decoders": {
        "PAD": "decoders.pad:PatchAbstractionDecoder",
        "Identity": "decoders.identity:IdentityDecoder",
        "PerceiverResampler": "decoders.resampler:PerceiverResampler",
        "QFormer": "decoders.qformer:QFormer",
        "CAbstractor": "decoders.c_abstractor:CAbstractor",
        "TokenPacker": "decoders.token_packer:TokenPacker",
        "AveragePool": "decoders.average_pool:AveragePool",
    },
    "priors": {
        "SelectorScorePrior": "priors.selector_score:SelectorScorePrior",
        "TextScorePrior": "priors.text_score:TextScorePrior",
    },
    "fusions": {
        "CrossAttentionFusion": "fusion.cross_attention:CrossAttentionFusion",
        "SkipConnectedFusion": "fusion.skip_connected:SkipConnectedFusion",
        "CoAttentionFusion": "fusion.co_attention:CoAttentionFusion",
        "SingleStreamFusion": "fusion.single_stream:SingleStreamFusion",
    },
    "text_decoders": {
        "BertTextDecoder": "text_decoders.bert:BertTextDecoder",
        "CausalLM": "text_decoders.small_causal_lm:CausalLM",
        "CausalLMFolder": "text_decoders.causal_lm:CausalLMFolder",
    },
    "heads": {
        "ITCHead": "heads.itc:ITCHead",
        "ITMHead": "heads.itm:ITMHead",
        "MLMHead": "heads.mlm:MLMHead",
        "PrefixLMHead": "heads.prefix_lm:PrefixLMHead",
        "PriorLMHead": "heads.prior_lm:PriorLMHead",
        "CaptionHead": "heads.caption:CaptionHead",
        "SelfCriticalCaptionHead": "heads.self_critical:SelfCriticalCaptionHead",
        "VQAHead": "heads.vqa:VQAHead",
        "PatchTextHead": "heads.patch_text:PatchTextHead",
        "ClassificationHead": "heads.classification:ClassificationHead",
        "GroundingHead": "heads.grounding:GroundingHead",
    },
}
MODEL_BUILDERS: Mapping[str, str] = {
    "VLPModel": "models.build:build_vlp_model",
    "CaptionLanguageModel": "models.build:build_caption_lm",
    "CausalVLM": "models.causal.build:build_causal_vlm",
    "TokenReducedViT": "openmmlab.backbone:TokenReducedViT",
}
# These modules register data sets, hooks, metrics and so on with MMEngine when they are imported.
RUNNER_PACKAGES = ("data", "engine", "evaluation")


@hookimpl
def register_components(registries: Registries) -> None:
    """Register all parts and Runner components of this package; they are imported only now."""
    for kind, members in PARTS.items():
        for name, target in members.items():
            getattr(registries, kind).register(resolve(target), name=name)
    for package in RUNNER_PACKAGES:
        import_module(f"bus_toolkit.{package}")
    for name, target in MODEL_BUILDERS.items():
        MODELS.register_module(name=name, module=resolve(target), force=True)


def resolve(target: str) -> Any:
    """Import the object at ``module:name``, below ``bus_toolkit``."""
    module, _, name = target.partition(":")
    return getattr(import_module(f"bus_toolkit.{module}"), name)
