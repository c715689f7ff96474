"""mmpretrain's BLIP for retrieval, its patches selected by the text of each pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any, Literal

import torch
from mmengine.dist import get_world_size
from mmpretrain.models.multimodal import BlipRetrieval
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.backbones.conditioned_pass import Select
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.mmpretrain_shim import require_transformers_4
from bus_toolkit.openmmlab.conditioning import WithoutText, conditioned_on
from bus_toolkit.openmmlab.text_aware import reading_texts
from bus_toolkit.openmmlab.texts import bert_states, sample_texts
from bus_toolkit.structures import SharedTokens, TextTokens


class TextAwareBlipRetrieval(BlipRetrieval):
    """mmpretrain's ``BlipRetrieval`` with selectors that read texts.

    The contrast never reads one: image features for it, in training, in the momentum branch and in a gallery, are from
    a pass without text. Matching reads the text of each pair: ``image_embeds``, which
    mmpretrain passes around, are the tokens before the first selector, and the blocks after it run where mmpretrain
    asks its text backbone to read an image, under the text that reads it. So a hard negative's image is selected by the
    text that it does not belong to, as any pair is when candidates are ranked again in an evaluation.

    Args:
        selectors: Configs of patch selectors, at most one a block, as in ``model.selectors`` of a ``VLPModel``.
        conditioning: ``strict``, as above. ``shared``: in training, one pass for each image under its own caption,
            for contrast and matching both (as in guoyang9/ELIP:BLIP/models/blip_pretrain.py): one pass after the first
            selector in the place of four, but a negative's image shows by its patches that it has another caption, and
            contrast meets text in training only. The momentum branch and evaluation stay as above.
        without_text: What selectors do in a pass without text: ``cls`` attention picks (our choice), or ``none``: they
            let everything through, as ELIP's do.
        **model: Arguments of mmpretrain's model.

    Raises:
        ComponentError: transformers is of version 5 or later.
        ConfigError: No selectors, or an unknown ``conditioning`` or ``without_text``.
    """

    vision_backbone: Any
    vision_backbone_m: Any

    def __init__(
        self,
        selectors: Sequence[Mapping[str, Any]] = (),
        *,
        conditioning: Literal["strict", "shared"] = "strict",
        without_text: WithoutText = "cls",
        **model: Any,
    ) -> None:
        require_transformers_4("model: TextAwareBlipRetrieval")
        super().__init__(**model)
        for name, value, allowed in (
            ("conditioning", conditioning, ("strict", "shared")),
            ("without_text", without_text, ("cls", "none")),
        ):
            if value not in allowed:
                raise ConfigError(Problem(f"model.{name}", f"must be {' or '.join(allowed)}, got {value!r}."))
        self.conditioning, self.without_text = conditioning, without_text
        text_dim = self.text_backbone.config.hidden_size
        self.vision_backbone = reading_texts(self, self.vision_backbone, selectors, text_dim)
        copies = deepcopy(list(self.vision_backbone.selectors))
        self.vision_backbone_m = reading_texts(self, self.vision_backbone_m, copies, text_dim)
        self.vision_backbone_m.requires_grad_(False)
        self.model_pairs[0] = [self.vision_backbone, self.vision_backbone_m]
        self._is_shared_pass = False

    def loss(self, images: Tensor, data_samples: Any = None) -> dict[str, Tensor]:
        """Return mmpretrain's losses of contrast and matching."""
        if not self.vision_backbone.needs_text:
            return super().loss(images, data_samples)
        sample_texts(data_samples, "text", self)  # without texts mmpretrain would look for their ids
        with ExitStack() as stack:
            stack.enter_context(conditioned_on(self.vision_backbone_m, None, without_text=self.without_text))
            if self.conditioning == "shared":
                tokens = self.preprocess_text(data_samples)
                text = bert_states(self.text_backbone, tokens.input_ids, tokens.attention_mask)
                stack.enter_context(conditioned_on(self.vision_backbone, text))
                stack.enter_context(self._shared_pass())
            else:
                stack.enter_context(self._pairs_conditioned())
            return super().loss(images, data_samples)

    def predict_all(
        self,
        feats: dict[str, Tensor],
        data_samples: Any,
        num_images: int | None = None,
        num_texts: int | None = None,
        **settings: Any,
    ) -> Any:
        """Return mmpretrain's rankings; candidates are ranked again with each image under the candidate's text.

        Raises:
            ConfigError: ``topk`` is larger than the number of images or texts.
        """
        ranks = get_world_size()
        counts = num_images or ranks * len(feats["image_feat"]), num_texts or ranks * len(feats["text_feat"])
        if not self.fast_match and self.topk > min(counts):
            raise ConfigError(
                f"model.topk: must be at most the number of images and of texts, which are the candidates, got "
                f"{self.topk} for {counts[0]} images and {counts[1]} texts. Lower it, or evaluate on more."
            )
        settings = {"num_images": num_images, "num_texts": num_texts, **settings}
        if not self.vision_backbone.needs_text or self.fast_match:
            return super().predict_all(feats, data_samples, **settings)
        with self._pairs_conditioned():
            return super().predict_all(feats, data_samples, **settings)

    def _extract_feat(self, inputs: Any, modality: str) -> dict[str, Tensor]:
        if modality != "images" or not self.vision_backbone.needs_text or self._is_shared_pass:
            return super()._extract_feat(inputs, modality)
        backbone = self.vision_backbone
        shared = backbone.forward_shared(inputs)
        if shared.grid != backbone.grid:
            raise ConfigError(
                f"images: pairs are matched with the grid that the transformer was built for, {backbone.grid}, got "
                f"{shared.grid}. Set img_size of model.vision_backbone to the size of the images."
            )
        select: Select = "all" if self.without_text == "cls" else "text_free"
        free = backbone.output(backbone.forward_conditioned(shared, select=select))  # (B, P + S, D)
        image_feat = F.normalize(self.vision_neck(free[:, 0, :]), dim=-1)
        return {"image_embeds": _packed(shared), "image_feat": image_feat}

    @contextmanager
    def _shared_pass(self) -> Iterator[None]:
        """Let images be encoded by a call of the backbone, which is conditioned."""
        self._is_shared_pass = True
        try:
            yield
        finally:
            self._is_shared_pass = False

    @contextmanager
    def _pairs_conditioned(self) -> Iterator[None]:
        """Let the text backbone read images that the text which it encodes has selected the patches of."""
        with self.text_backbone.register_forward_pre_hook(self._condition_pairs, with_kwargs=True):
            yield

    def _condition_pairs(self, bert: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        images = kwargs.get("encoder_hidden_states")
        if images is None:
            return None
        backbone, mask = self.vision_backbone, kwargs["attention_mask"]
        # The first token of a pair asks for fusion; alone, a text begins with [CLS].
        ids = args[0].index_fill(1, torch.zeros(1, dtype=torch.long, device=mask.device), self.tokenizer.cls_token_id)
        text: TextTokens = bert_states(bert, ids, mask)
        shared = _unpacked(images, backbone)
        tokens = backbone.output(backbone.forward_conditioned(shared, text))
        may_read = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        return args, {**kwargs, "encoder_hidden_states": tokens, "encoder_attention_mask": may_read}


def _packed(shared: SharedTokens) -> Tensor:
    """Return shared tokens as one tensor (B, P + N, D or 2 D), which mmpretrain may gather, index and repeat."""
    parts = [shared.tokens] if shared.block_input is None else [shared.tokens, shared.block_input]
    return torch.cat(parts, dim=-1)


def _unpacked(packed: Tensor, backbone: Any) -> SharedTokens:
    tokens, *block_input = packed.split(backbone.embed_dim, dim=-1)
    return SharedTokens(tokens, backbone.grid, backbone.num_shared_blocks, block_input[0] if block_input else None)
