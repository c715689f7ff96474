"""The token-reducing backbone, usable as a backbone of OpenMMLab's own classifiers, in their configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.adapters.openmmlab_vit import VisionTransformerAdapter
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ComponentError, ConfigError, Problem
from bus_toolkit.ops.follow_plans import patches_in_tokens, scatter_back
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import TextTokens, VisualTokens

_PATH = "model.backbone"
_TEXTS_COME_FROM = (
    "Of mmpretrain's models, bus_toolkit.TextAwareBlipRetrieval and its like give one: name it as the type of the "
    "model, and put selectors beside it, not into the backbone. In a model of your own, set text_dim and open "
    "bus_toolkit.openmmlab.conditioned_on(backbone, text) around the pass."
)


class TokenReducedViT(TokenReducingBackbone, BaseModule):
    """A vision transformer of mmpretrain with selectors between its blocks, as ``bus_toolkit.TokenReducedViT``.

    Replaces mmpretrain's transformer: images (B, 3, H, W) in, a tuple with the last block's output out.
    Without a reduction it is the plain backbone's, bit for bit. Checkpoints of the plain backbone load as they are;
    back into a plain one, ours load with ``prefix='backbone.vit.'``.

    What follows where patches are gone is our choice: ``avg_featmap`` is the mean of the tokens left, each weighted by
    the number of patches in it; ``featmap`` gives each patch the token it ended in and zeros where it was dropped;
    ``raw`` has the tokens that are left, in the order that the selectors' plans give (an empty one of
    PruMerge among them: mmpretrain has no mask to hide it by).

    Losses of ``VLPModel``'s heads do not exist here: nothing holds DynamicViT's predictor to its ratio in training.

    Args:
        vit: The transformer: its config in mmpretrain's registry, or built.
        selectors: Configs of patch selectors (or built ones), at most one a block; without ``text_dim`` those that need
            no text.
        out_type: ``cls_token``, ``avg_featmap``, ``featmap`` or ``raw``; the transformer's own when not given.
        text_dim: Width of the texts that a model gives to each pass by ``conditioned_on``. The ``TextAware...`` models
            set it; where a plain model gives no text, leave it out.
        path: Place of this node in the config, for messages.
        init_cfg: As in any OpenMMLab module, e.g. ``dict(type='Pretrained', checkpoint=..., prefix='backbone.')``.
        **misplaced: Refused: a plain backbone's arguments that a config keeps when its ``type`` alone is replaced.

    Raises:
        ConfigError: Parts that do not fit each other or a classifier.
        ComponentError: An unknown selector or wrong arguments for it, or a transformer that nobody can take apart.
    """

    def __init__(
        self,
        vit: Mapping[str, Any] | nn.Module | None = None,
        selectors: Sequence[Mapping[str, Any] | PatchSelector] = (),
        *,
        out_type: str | None = None,
        text_dim: int | None = None,
        path: str = _PATH,
        init_cfg: Any = None,
        **misplaced: Any,
    ) -> None:
        if misplaced:
            text = (
                f"a TokenReducedViT takes vit, selectors, out_type and init_cfg, got {', '.join(misplaced)}. Arguments "
                "of the transformer go into vit. Where the type of a base config is replaced, write backbone=dict("
                "_delete_=True, type='bus_toolkit.TokenReducedViT', vit=dict(type=..., ...), selectors=[...])."
            )
            raise ConfigError(Problem(_PATH, text))
        if vit is None:
            text = "a TokenReducedViT needs vit, got none. Give the config of mmpretrain's transformer, or a built one."
            raise ConfigError(Problem(_PATH, text))
        built = vit if isinstance(vit, nn.Module) else _build_vit(vit, out_type)
        adapter = _adapter_of(built, out_type)
        parts = [
            _build_selector(part, f"{path}.selectors.{index}", adapter.embed_dim, text_dim)
            for index, part in enumerate(selectors)
        ]
        super().__init__(built, parts, adapter=adapter, path=path)
        self._path = path
        self.init_cfg = init_cfg
        self._has_schedule = any(part.schedule.epochs > 0 for part in parts)
        self._knows_progress = False

    def forward(  # type: ignore[override]
        self,
        images: Tensor,
        text_embeds: Tensor | None = None,
        text_pooled: Tensor | None = None,
        text_mask: Tensor | None = None,
        without_text: str | None = None,
        with_scores: bool = False,
    ) -> tuple[Any, ...]:
        """Encode ``images`` (B, 3, H, W); ``conditioned_on`` fills in the rest.

        Args:
            images: Images.
            text_embeds: (B, L, D) of the texts that selectors read.
            text_pooled: (B, D).
            text_mask: bool (B, L), True for tokens that may be read.
            without_text: That this pass has no text on purpose, and what selectors that read one do: ``cls`` attention
                replaces them, or ``none``: they let everything through.
            with_scores: Whether the scores of supervised selectors are returned, too.

        Returns:
            One output in the form of ``out_type``: (B, D), (B, D, rows, columns) or (B, P + S, D); after a distilled
            transformer, ``cls_token`` is the pair of its two tokens. Then for each supervised selection, if asked for,
            the logits (B, N) and the candidate that each original patch was in, (B, M).

        Raises:
            ConfigError: A selector that reads a text, and no text; one whose learned tokens a head must align with a
                text; in training, a scheduled keep ratio that nobody moves.
        """
        self._check_pass(has_text=text_embeds is not None or without_text is not None)
        text = None
        if text_embeds is not None:
            assert text_pooled is not None and text_mask is not None, "conditioned_on gives all three"
            text = TextTokens(text_embeds, text_pooled, text_mask)
        if without_text == "none":
            visual = self.forward_conditioned(self.forward_shared(images), select="text_free")
        else:
            visual = super().forward(images, text)
        if any(selection.decision.guide is not None for selection in visual.selections):
            raise ConfigError(
                f"{self._path}.selectors: a head of VLPModel must align learned tokens with the text for this "
                "selector, got a model without one. Use one that looks at the image alone, such as EViT or ToMe."
            )
        supervised = [s for s in visual.selections if s.decision.supervised] if with_scores else []
        scores = (tensor for s in supervised for tensor in (s.decision.scores, s.slots_before))
        return (self.output(visual), *scores)

    def set_progress(self, epoch: float) -> None:
        """Set the keep ratios that hold at ``epoch`` (fractions count); ``KeepRatioScheduleHook`` calls it."""
        self._knows_progress = True
        super().set_progress(epoch)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths, for mmpretrain's layer-wise learning rates.

        The transformer's parameters have the depth that it gives them; selectors are new, and learn as fast as the
        head.
        """
        return self.vit.get_layer_depth(param_name, f"{prefix}vit.")

    def _check_pass(self, *, has_text: bool) -> None:
        if self.training and self._has_schedule and not self._knows_progress:
            raise ConfigError(
                f"{self._path}.selectors: a scheduled keep_ratio needs the hook that moves it, got none. Add "
                "custom_hooks=[dict(type='bus_toolkit.KeepRatioScheduleHook')], or give keep_ratio as a number."
            )
        if self.needs_text and not has_text:
            names = ", ".join(type(selector).__name__ for selector in self.selectors if selector.needs_text)
            raise ConfigError(
                f"{self._path}.selectors: {names} reads a text, got a pass without one. {_TEXTS_COME_FROM}"
            )

    def output(self, visual: VisualTokens) -> Any:
        """Return the output that mmpretrain's own method makes of all tokens, or its replacement."""
        # Without a class token, the token-reducing backbone prepends the mean, which mmpretrain does not.
        tokens = visual.embeds[:, visual.num_prefix - self.num_prefix :]
        prefix, patches = tokens[:, : self.num_prefix], tokens[:, self.num_prefix :]
        # Not by their number: one dropped and one fused token make as many as before.
        is_reduced = not all(s.decision.plan.is_identity for s in visual.selections) or visual.unread is not None
        if is_reduced and self.vit.out_type in ("avg_featmap", "featmap"):
            origin = visual.read_origin
            assert origin is not None
            if self.vit.out_type == "featmap":
                patches = scatter_back(patches, origin)
            else:  # as the only patch: mmpretrain's method takes the mean, and may apply a norm after it
                sizes = patches_in_tokens(origin, patches.shape[1])
                if visual.unread is not None:
                    sizes = sizes.float().clamp(min=1e-6)  # if all are hidden, the mean is that of all
                patches = self.adapter.pool(tokens, sizes).unsqueeze(1)
            tokens = torch.cat([prefix, patches], dim=1)
        return self.vit._format_output(tokens, visual.grid)


def _build_vit(cfg: Mapping[str, Any], out_type: str | None) -> Any:
    """Build the transformer by OpenMMLab's own rules; a name without scope is one of mmpretrain's, in every config."""
    import mmpretrain.models  # noqa: F401 (fills the registry)
    from mmpretrain.registry import MODELS

    return MODELS.build({"_scope_": "mmpretrain", **cfg, **({} if out_type is None else {"out_type": out_type})})


def _adapter_of(vit: Any, out_type: str | None) -> TransformerAdapter:
    """Return the adapter of a transformer of mmpretrain whose output can be made of fewer tokens."""
    library = type(vit).__module__.partition(".")[0]
    name, given = type(vit).__name__, getattr(vit, "out_type", None)
    adapter = adapter_of(vit)
    if not isinstance(adapter, VisionTransformerAdapter):
        raise ConfigError(
            f"{_PATH}.vit: must be a vision transformer of mmpretrain whose blocks selectors can sit at, got {name} of "
            f"{library}. Use e.g. VisionTransformer, DeiT3, BEiTViT, ViTEVA02 or T2T_ViT; in a segmentor or detector "
            "with out_type='featmap'. Other libraries' go into bus_toolkit.backbones.TokenReducingBackbone, or into a "
            "VLPModel."
        )
    if out_type not in (None, given):
        raise ConfigError(
            f"{_PATH}.out_type: the built {name} gives {given!r}, got {out_type!r}. It is fixed when the transformer "
            "is built. Build it with this out_type, or leave it out here."
        )
    last = len(adapter.layers) - 1
    if list(vit.out_indices) != [last]:
        raise ConfigError(
            f"{_PATH}.vit.out_indices: blocks in between give no output where tokens are reduced on the way, got "
            f"{list(vit.out_indices)}. Only the last block's, {last}, can be had. Leave out_indices out."
        )
    try:
        vit._format_output(next(vit.parameters()).new_zeros(1, adapter.num_prefix + 1, adapter.embed_dim), (1, 1))
    except AttributeError as error:
        raise ConfigError(
            f"{_PATH}.out_type: mmpretrain's {name} cannot give it ({error}), got {given!r}. Choose another."
        ) from error
    return adapter


def _build_selector(
    part: Mapping[str, Any] | PatchSelector, path: str, embed_dim: int, text_dim: int | None
) -> PatchSelector:
    if text_dim is not None:
        built: PatchSelector
        if isinstance(part, PatchSelector):
            built = part
        else:
            built = REGISTRIES.selectors.build(part, path=path, embed_dim=embed_dim, text_dim=text_dim)
        if built.needs_boxes:
            raise ComponentError(
                f"{path}: {type(built).__name__} reads the boxes that a text names, which mmpretrain's models do not "
                "hand on. Study it in a VLPModel."
            )
        return built
    if isinstance(part, PatchSelector):
        _refuse_text(type(part).__name__, part, path)
        return part
    if isinstance(part, Mapping) and isinstance(part.get("type"), str):
        # Before it is built: what such a selector misses is not the width of a text.
        _refuse_text(part["type"], REGISTRIES.selectors.get(part["type"], path).cls, path)
    return REGISTRIES.selectors.build(part, path=path, embed_dim=embed_dim)


def _refuse_text(name: str, selector: Any, path: str) -> None:
    """Refuse selectors whose decisions nothing could condition or train in a model that gives no text."""
    if getattr(selector, "needs_text", False):
        raise ComponentError(
            f"{path}: {name} reads a text, got a backbone that gets none. A classifier has no text: use EViT, whose "
            f"CLS attention picks, or ToMe. {_TEXTS_COME_FROM}"
        )
    if getattr(selector, "supervised", False):
        raise ComponentError(
            f"{path}: {name} is trained by a patch-text head, got a backbone without one. Use EViT, whose CLS "
            "attention picks, or ToMe; or train a VLPModel."
        )
