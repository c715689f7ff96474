"""The assembly: text encoder, token-reducing backbone, decoder, fusion, text decoder and heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from bus_toolkit.backbones.conditioned_pass import Select
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import DataError
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.layer_depth import layer_depth
from bus_toolkit.models.momentum import MomentumBranch
from bus_toolkit.models.source_groups import mean_over_groups, split_by_objectives
from bus_toolkit.models.step import BatchStep
from bus_toolkit.ops.collective import mean_logs_over_ranks
from bus_toolkit.structures import FusedTokens, Selection, SharedTokens, TextTokens, TokenBatch, VisualTokens
from bus_toolkit.weights.reading import read_weights
from bus_toolkit.weights.settings import Pretrained, load_parts


class VLPModel(BaseModel):
    """A vision-language model that looks at fewer visual tokens.

    1. captions -> ``text_encoder`` -> text tokens (B, L, D) and their [CLS];
    2. images -> ``backbone`` with selectors, conditioned as ``conditioning`` says -> visual tokens (B, P + S, D_v);
    3. -> ``decoder`` -> fewer visual tokens;
    4. text + visual -> ``fusion`` (and ``text_decoder`` for generation);
    5. ``heads`` turn these into losses or predictions.

    Parts arrive built; ``bus_toolkit.build_model`` builds them from a YAML file. In MMEngine's terms ``forward`` has
    the modes ``loss`` (dict of losses), ``predict`` (data samples with predictions) and ``tensor`` (text-free
    features).

    Args:
        tokenizer: Turns captions into ids.
        text_encoder: Ids to ``TextTokens``.
        backbone: The token-reducing host.
        decoder: ``VisualTokens`` to fewer ``VisualTokens``.
        heads: Objectives by name; they run in this order, contrast (``itc``) before all others.
        fusion: ``TextTokens`` and ``VisualTokens`` to ``FusedTokens``.
        text_decoder: Next-token logits from ids and states.
        conditioning: Which text conditions the image for which objective.
        momentum: ``decay`` and ``selection`` of the momentum branch; ``None`` goes without.
        data_preprocessor: MMEngine's hook for normalising images on the device.
    """

    def __init__(
        self,
        *,
        tokenizer: Any,  # noqa: ANN401 - any object with the tokenizer contract
        text_encoder: nn.Module,
        backbone: TokenReducingBackbone,
        decoder: nn.Module,
        heads: Mapping[str, VLPHead],
        fusion: nn.Module | None = None,
        text_decoder: nn.Module | None = None,
        conditioning: Conditioning | None = None,
        momentum: Mapping[str, Any] | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.backbone = backbone
        self.decoder = decoder
        self.fusion = fusion
        self.text_decoder = text_decoder
        # Contrast first: hard negatives of the other heads come from its similarities.
        self.heads: Any = nn.ModuleDict(dict(sorted(heads.items(), key=lambda item: item[0] != "itc")))
        self.conditioning = conditioning or Conditioning()
        self.momentum = None if momentum is None else MomentumBranch(self._followed_modules(), **momentum)
        self.epoch = float("inf")
        self.iteration = 0
        self.last_tokens: dict[str, int] = {}
        self._register_load_state_dict_pre_hook(self._start_momentum_from_weights)

    # By part, where weights come from when a training starts; the model builder fills it in.
    pretrained: Mapping[str, Pretrained] = {}

    def init_weights(self) -> None:
        """Initialise the transformer as its class and ``init_cfg`` say; the other parts were when they were built.

        Then weights from elsewhere come in, those of the whole model before those of a part. Heads load what they need
        from files of their own.

        Raises:
            CheckpointError: Weights that cannot be read safely or do not fit.
        """
        self.backbone.vit.init_weights()
        load_parts(self, self.pretrained)
        for head in self.heads.values():
            head.load_weights(read_weights)
        if self.momentum is not None:
            self.momentum.restart(self._followed_modules())

    # --- state that is not trained by gradient ---

    def _followed_modules(self) -> dict[str, nn.Module]:
        return {
            "text_encoder": self.text_encoder,
            "backbone": self.backbone,
            "decoder": self.decoder,
            "projections": self.heads["itc"].projections,
        }

    def set_progress(self, epoch: float, iteration: int) -> None:
        """Tell how far training is; schedules (keep ratios, late heads) and fresh noise go by it."""
        self.epoch = epoch
        self.iteration = iteration
        hosts = [self.backbone] if self.momentum is None else [self.backbone, self.momentum.copies["backbone"]]
        for host in hosts:
            host.set_progress(epoch)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Return how deep a parameter lies and of how many depths; optimizers with layer-wise rates ask."""
        return layer_depth(self, param_name.removeprefix(prefix))

    def after_step(self, stepped: bool = True) -> None:
        """Update momentum copies (if the optimizer ``stepped``) and the heads' queues after a batch."""
        self.iteration += 1
        if self.momentum is not None and stepped:
            self.momentum.update(self._followed_modules())
        for head in self.heads.values():
            head.after_step()

    def _start_momentum_from_weights(self, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
        """Let weights without a momentum branch (from another kind of training) start both branches."""
        if self.momentum is None or any(key.startswith(f"{prefix}momentum.") for key in state_dict):
            return
        sources = {name: name for name in self._followed_modules()} | {"projections": "heads.itc.projections"}
        for name, source in sources.items():
            start = f"{prefix}{source}."
            for key in [key for key in state_dict if key.startswith(start)]:
                state_dict[f"{prefix}momentum.copies.{name}.{key[len(start) :]}"] = state_dict[key]

    # --- encoding ---

    @property
    def reads_text(self) -> bool:
        """Whether different texts give different visual tokens."""
        return self.backbone.needs_text or getattr(self.decoder, "reads_text", False)

    def condition(self, objective: str) -> str:
        """Return what conditions the image for ``objective``; a model that does not read text has one condition."""
        return self.conditioning.condition(objective) if self.reads_text else "free"

    def tokenize(self, texts: list[str]) -> TokenBatch:
        """Turn captions into ids on the model's device.

        Raises:
            DataError: A caption without a single word.
        """
        tokens = self.tokenizer(texts)
        _refuse_all_padding(tokens)
        device = self.backbone.device
        return TokenBatch(tokens.input_ids.to(device), tokens.attention_mask.to(device))

    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        """Encode ids (B, L).

        Raises:
            DataError: A text of padding alone (checked for tokens on the CPU, where it costs no device sync).
        """
        if tokens.attention_mask.device.type == "cpu":
            _refuse_all_padding(tokens)
        return self.text_encoder(tokens)

    def encode_shared(self, images: Tensor) -> SharedTokens:
        """Run all that no text can change: (B, 3, H, W) to tokens in front of the first selector."""
        return self.backbone.forward_shared(images)

    def encode_visual(self, prefix: SharedTokens, text: TextTokens | None) -> VisualTokens:
        """Select, run the remaining blocks and abstract, each under its text; ``None`` is a text-free pass."""
        visual = self.backbone.forward_conditioned(prefix, text, select=self._select(text))
        self.last_tokens = {
            f"block {s.block}": s.decision.plan.num_slots + visual.num_prefix for s in visual.selections
        }
        decoded = self.decoder(visual, text)
        self.last_tokens["decoder"] = decoded.embeds.shape[1]
        return replace(decoded, undecoded=visual)

    def encode_scores(self, prefix: SharedTokens, text: TextTokens | None) -> list[Selection]:
        """Run just far enough for every trainable selector to have scored its patches."""
        last = max(self.backbone.num_scored_blocks, prefix.num_blocks)
        return self.backbone.forward_conditioned(prefix, text, select=self._select(text), num_blocks=last).selections

    def _select(self, text: TextTokens | None) -> Select:
        return "text_free" if text is None and self.conditioning.without_text == "none" else "all"

    def free_text(self, batch: int) -> TextTokens | None:
        """Return what stands in for the text in a text-free pass: the prompt for ``batch`` rows, or ``None``."""
        if self.conditioning.without_text != "prompt" or not self.reads_text:
            return None
        if self.conditioning.prompt:
            tokens = self.tokenize([self.conditioning.prompt])
        else:
            ids = torch.tensor([[self.tokenizer.cls_token_id, self.tokenizer.sep_token_id]])
            ids = ids.to(self.backbone.device)
            tokens = TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool))
        text = self.text_encoder(tokens)
        return TextTokens(*(t.expand(batch, *t.shape[1:]) for t in (text.embeds, text.pooled, text.attention_mask)))

    def fuse(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Let text and image meet."""
        assert self.fusion is not None, "build_model refuses heads that fuse without a fusion"
        return self.fusion(text, visual)

    # --- MMEngine's modes ---

    def forward(
        self, images: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[Any] | VisualTokens:
        """Run one of the three modes on images (B, 3, H, W), or I a text (B, I, 3, H, W), and their data samples."""
        if mode == "loss":
            return self.loss(images, data_samples or [])
        if mode == "predict":
            return self.predict(images, data_samples or [])
        images = images.flatten(0, 1) if images.dim() == 5 else images
        return self.encode_visual(self.encode_shared(images), self.free_text(images.shape[0]))

    def loss(self, images: Tensor, data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Return every active head's loss, weighted, and figures to log.

        A head runs on the rows whose ``objectives`` name it, group by group (``models/source_groups.py``).
        """
        groups = split_by_objectives(images, data_samples, self.heads)
        steps = [BatchStep(self, group.images, group.samples) for group in groups]
        self._check_images(steps[0])
        out: dict[str, Tensor] = {}
        for objective, head in self.heads.items():
            if self.epoch >= head.start_epoch:
                served = [step for step, group in zip(steps, groups, strict=True) if group.serves(objective)]
                losses = mean_over_groups([(head.loss(step), len(step.samples)) for step in served])
                for name, value in losses.items():
                    out[name] = head.weight * value if "loss" in name else value
        return out

    def _check_images(self, step: BatchStep) -> None:
        """Refuse several images a text where a head reads one."""
        for name, head in self.heads.items():
            if step.num_images > 1 and not head.several_images:
                raise DataError(
                    f"model.heads.{name}: {type(head).__name__} reads one image a text, got {step.num_images}. Leave "
                    "the head out, or train on a data set with one image a text."
                )

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses, and average what is logged over the ranks."""
        total, log_vars = super().parse_losses(losses)
        return total, mean_logs_over_ranks(log_vars)

    def predict(self, images: Tensor, data_samples: Sequence[Any]) -> list[Any]:
        """Write every head's predictions, and which patches the own caption kept, into the data samples."""
        step = BatchStep(self, images, data_samples)
        self._check_images(step)
        fields: dict[str, Any] = {}
        for head in self.heads.values():
            fields.update(head.predict(step))
        visual = step.visual("caption")
        per_image = {"kept": visual.kept_patches()}
        if visual.selections:
            per_image["scores"] = visual.selections[0].decision.scores
        for name, rows in per_image.items():
            fields.setdefault(name, rows if step.num_images == 1 else rows.unflatten(0, (-1, step.num_images)))
        for index, sample in enumerate(data_samples):
            sample.set_field(visual.grid, "patch_grid", dtype=None)
            for name, values in fields.items():
                if values[index] is not None:
                    sample.set_field(values[index], name, dtype=None)
        return list(data_samples)


def _refuse_all_padding(tokens: TokenBatch) -> None:
    empty = (~tokens.attention_mask.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"text: row {empty[0]} of the batch is padding only ({len(empty)} such rows). A text needs at least one "
            "token that may be attended. Drop such samples or give them a caption."
        )
