"""Captioning: write a caption from the image alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.heads.base import HeadOutput, VLPHead
from bus_toolkit.heads.beginnings import drawn_lengths, encoded_beginnings, prompt_problem
from bus_toolkit.heads.writing import write_texts
from bus_toolkit.losses.next_token import checked_smoothing, next_token_loss
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Beginnings, Condition, TokenBatch, VisualTokens, Vocabulary
from bus_toolkit.text_decoders.generate import Rereading, search_rules


class CaptionHead(VLPHead):
    """Write the whole caption from [CLS] and the image.

    The text decoder reads the visual tokens directly, without text encoder and fusion, through a linear map and a
    normalisation where the widths differ, as in mPLUG's caption model (alibaba/AliceMind:mPLUG/models/
    model_caption_mplug.py; its dropout is left out). Whatever ``conditioning.mode`` says, the image is encoded without
    text, as it has to be when there is no caption yet; ``conditioning.without_text`` says what selects then. The
    prediction is ``pred_caption``, a string a sample; a data set of ``CaptionedImages`` has one sample an image.

    With ``reselect_every: k`` (our choice; no source says how BUS captions) what has been written selects the patches
    again after every k tokens, in each beam: the blocks before the first selector are run once an image, those after it
    and the decoder B x beams times at each selection. In training a random multiple of k tokens is given, the image is
    encoded under them (under the prompt for none), and the loss is that of all tokens after them.

    Args:
        embed_dim: Width of the visual tokens; filled in from the backbone.
        text_dim: Width that the text decoder reads; filled in from the text encoder.
        vocabulary: Token ids; filled in from the tokenizer.
        search: Arguments of ``bus_toolkit.text_decoders.generate.SearchRules``; ``max_length`` is at most, and if not
            given, the tokenizer's.
        reselect_every: Tokens between two selections by the text so far; 0 selects once, without text. Needs
            ``conditioning.without_text: prompt`` and a part that reads text.
        label_smoothing: Share of the target spread over the vocabulary.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A search setting that does not exist, or a number out of range.
    """

    sees = Condition.FREE
    gives_answers = True
    needs_text_decoder = True
    needs_towers = True
    predicts = ("pred_caption",)

    def __init__(
        self,
        *,
        embed_dim: int,
        text_dim: int,
        vocabulary: Vocabulary,
        search: Mapping[str, Any] | None = None,
        reselect_every: int = 0,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        self.rules = search_rules(search, vocabulary.max_length)
        if reselect_every < 0:
            raise ValueError(f"reselect_every: must be 0 or more, got {reselect_every}. 0 selects once.")
        self.reselect_every = reselect_every
        self.vocabulary = vocabulary
        self.label_smoothing = checked_smoothing(label_smoothing)
        same = embed_dim == text_dim
        self.project = nn.Identity() if same else nn.Sequential(nn.Linear(embed_dim, text_dim), nn.LayerNorm(text_dim))

    @override
    def setting_problems(self, encoders: Encoders) -> Iterator[tuple[str, str]]:
        problem = prompt_problem(encoders) if self.reselect_every else None
        if problem is not None:
            yield "reselect_every", problem

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_caption``: the mean cross-entropy over all tokens after [CLS], or after those that select."""
        tokens = step.batch.tokens
        wanted = tokens.attention_mask
        if self.reselect_every:
            noise_B = step.batch.noise("caption", step.batch.num_captions)
            given = Beginnings.of(tokens, drawn_lengths(tokens, noise_B, self.reselect_every))
            wanted = wanted & ~given.tokens.attention_mask
            states = self._states_under(step, given)
        else:
            states = self.states(step.visual(Condition.FREE))
        logits = step.encoders.decode(tokens.before_last(), *states)  # (B, L - 1, V)
        loss = next_token_loss(logits, tokens.input_ids, wanted[:, 1:].float(), self.label_smoothing)
        return HeadOutput({"caption": loss})

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the best caption for each image."""
        states = self.states(step.visual(Condition.FREE))
        rereading = self.rereading(step)
        return {"pred_caption": write_texts(step.encoders, *states, self.vocabulary, self.rules, rereading=rereading)}

    def states(self, visual: VisualTokens) -> tuple[Tensor, Tensor]:
        """Return what the text decoder reads of images, (B, M, D), and which of it may be read, bool (B, M)."""
        memory = self.project(visual.embeds)
        if visual.unread is not None:
            return memory, ~visual.unread
        return memory, torch.ones(memory.shape[:2], dtype=torch.bool, device=memory.device)

    def rereading(self, step: Step) -> Rereading | None:
        """Return what selects the patches again while captions of the step's images are written."""
        if not self.reselect_every:
            return None

        def under(texts: TokenBatch) -> tuple[Tensor, Tensor]:
            return self._states_under(step, Beginnings(texts, texts.attention_mask.sum(dim=1)))

        return Rereading(self.reselect_every, under)

    def _states_under(self, step: Step, given: Beginnings) -> tuple[Tensor, Tensor]:
        """Return the states of the images, each encoded under one beginning or under the same number of them."""
        count = step.batch.num_captions
        rows = torch.arange(count, device=given.lengths.device).repeat_interleave(given.lengths.shape[0] // count)
        text = encoded_beginnings(step.encoders, given)
        return self.states(step.images_under(rows, text, counted_as="written"))
