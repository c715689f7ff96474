"""Ask a trained model: retrieve, classify, answer, caption, ground, explain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.engine.device import find_device
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.retrieval.device_memory import DEFAULT_GIB
from bus_toolkit.evaluation.zero_shot.class_texts import TEMPLATES, checked_names, checked_templates, refuse_alike
from bus_toolkit.heads import ClassificationHead, find_head
from bus_toolkit.home import expand_home
from bus_toolkit.inference.abilities import abilities_of, facts_of
from bus_toolkit.inference.answers import answering_head, class_answers
from bus_toolkit.inference.classification import classify
from bus_toolkit.inference.explanation import Explanation, explain, explanations_of
from bus_toolkit.inference.heads import head_for
from bus_toolkit.inference.index import ImageIndex
from bus_toolkit.inference.inputs import ImageInput, as_images, as_texts, pair_up
from bus_toolkit.inference.keep_ratio import at_keep_ratio, keep_ratios
from bus_toolkit.inference.loading import load_trained
from bus_toolkit.inference.pipeline import ImagePipeline
from bus_toolkit.inference.predictor import Predictor
from bus_toolkit.inference.results import BothWays, Hits, Pictures, Rows, table, text
from bus_toolkit.inference.retrieval import Direction, Search, retrieve
from bus_toolkit.inference.side_by_side import explain_side_by_side

Texts = str | Sequence[str]


class Inferencer:
    """A trained model that answers questions about images.

    An image is one or a list of: a path, a PIL image, a NumPy array uint8 (H, W, 3) and a torch tensor uint8
    (3, H, W), channels red green blue. A text is a string or a list; a single image or text is used for all of the
    others. Results are lists in the order of the input, of plain Python objects; only pictures are arrays. A notebook
    shows them as tables and pictures. Files go
    through the decoder of ``LoadImage``, then everything through the transforms of the config's evaluation: a file
    gives what ``bus-toolkit test`` predicts for it. Inputs are validated before anything is computed or written: every
    method raises ``DataError`` for an image or a text that cannot be used and for unequal numbers, and ``ConfigError``
    if the model has no head for it.

    Args:
        source: A run folder (its newest checkpoint, with the config in it), a folder that ``save_pretrained`` has
            written, ``hf-hub:OWNER/NAME`` for one on a hub, or a YAML with ``checkpoint``.
        checkpoint: A ``.pth`` or ``.safetensors`` on this machine; read without running code in it, unless
            ``cfg_options`` say ``trusted_checkpoints=true``.
        device: Such as ``cuda:1``; ``None`` is a GPU, if there is one.
        cfg_options: ``key=value`` words as in ``--cfg-options``.
        batch_size: Images, or pairs in re-ranking, at a time.

    Attributes:
        cfg: The loaded config.
        model: The model, in eval mode.

    Raises:
        ConfigError: A source that is neither, a wrong config, a batch size below 1, or a pipeline of no use here.
        CheckpointError: No checkpoint, an unreadable one, or weights of another model.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        cfg_options: Sequence[str] = (),
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"Inferencer.batch_size: must be 1 or more, got {batch_size}.")
        quiet_hosts()
        location, self.source = find_device(None if device is None else str(device)), str(source)
        self.cfg, self.model = load_trained(source, checkpoint, cfg_options, location)
        self._predictor = Predictor(self.model, ImagePipeline(self.cfg, self.model.backbone.image_size), batch_size)

    def __repr__(self) -> str:
        """Return the source, the heads that can be asked, and how images go in."""
        facts = facts_of(self.model)
        return f"Inferencer({self.source!r}, heads: {facts['heads']}; {facts['images']}, {facts['device']})"

    def _repr_html_(self) -> str:
        facts = {"source": self.source} | facts_of(self.model)
        return table(["Inferencer", ""], [[text(key), text(value)] for key, value in facts.items()])

    @property
    def abilities(self) -> tuple[str, ...]:
        """The methods that this model has a head for, beside ``explain``."""
        return abilities_of(self.model, self.cfg, self._predictor.pipeline)

    @property
    def keep_ratios(self) -> list[float]:
        """The share that each selector keeps, in order; of one with a share for each block the last."""
        return keep_ratios(self.model)

    def index(self, images: Any, *, rerank: bool = False, device_memory: float = DEFAULT_GIB) -> ImageIndex:
        """Encode images once, to search among them many times.

        With ``rerank`` the tokens before the first selector are kept too, so that ``retrieve`` can re-rank: on the
        device up to ``device_memory`` GiB, on the CPU beyond (0: all of them).
        """
        head_for(self.model, "index")
        return ImageIndex.of(self._predictor, as_images(images), keep_tokens=rerank, device_memory=device_memory)

    def retrieve(
        self, images: Any, texts: Texts, topk: int = 5, rerank: int | None = None, direction: Direction = "both"
    ) -> Any:
        """Find the best texts of each image (``i2t``) and the best images of each text (``t2i``).

        Ranked by cosine of features that the other side did not touch. The best ``rerank`` of each query come first, in
        the order of image-text matching, the text selecting the patches; ``match_score`` and ``itc_weight`` of the
        config's ``test_cfg`` count as they do there. ``images`` may be an ``ImageIndex``.

        Returns:
            A list with one entry a query: a list of at most ``topk``, best first, of ``index``, ``text`` or ``image``,
            ``score`` (cosine) and with ``rerank`` ``match`` (probability, or ``None`` if it was not scored). For
            ``both`` directions a dict of two such lists, ``i2t`` and ``t2i``.
        """
        head_for(self.model, "retrieve")
        if rerank is not None:
            head_for(self.model, "retrieve(rerank=...)")
        loop = self.cfg.get("test_cfg") or self.cfg.get("val_cfg") or {}
        order = {name: loop[name] for name in ("itc_weight", "match_score") if name in loop}
        search, words = Search(topk, rerank, direction, **order), as_texts(texts)
        index = images if isinstance(images, ImageIndex) else self.index(images, rerank=rerank is not None)
        found = retrieve(self.model, index, words, search, batch_size=self._predictor.batch_size)
        queries = {"i2t": index.names, "t2i": words}
        hits = BothWays({way: Hits(of_way, queries[way]) for way, of_way in found.items()})
        return hits if direction == "both" else hits[direction]

    def classify(
        self, images: Any, class_names: Sequence[str], *, templates: Texts = TEMPLATES, topk: int = 5
    ) -> list[dict[str, Any]]:
        """Classify images by the names of classes, without training for them.

        A class is the mean of its sentences: each template with the name, its underscores as spaces, in the place of
        ``{}``. Images are encoded without text, as for ``retrieve``. ``images`` may be an ``ImageIndex``.

        Returns:
            One dict an image with ``image``, the nearest ``class`` and its ``probability`` among all (softmax at the
            temperature of the contrast), and ``classes``, at most ``topk`` with the nearest first: ``index``,
            ``class``, ``score`` (cosine) and ``probability``.

        Raises:
            ConfigError: A template without ``{}``, or no ITC head.
            DataError: Fewer than two names, an empty one, one that is there twice, or two that the tokenizer cannot
                distinguish.
        """
        head_for(self.model, "classify")
        names = checked_names(class_names, "class_names")
        sentences = checked_templates(templates, "templates")
        refuse_alike(getattr(self.model, "tokenizer", None), names, sentences, "class_names")
        index = images if isinstance(images, ImageIndex) else self.index(images)
        return Rows(classify(self.model, index, names, sentences, topk=topk))

    def answer(self, images: Any, questions: Texts) -> list[dict[str, Any]]:
        """Answer questions: one dict a question with ``image``, ``question`` and ``answer``.

        A model that classifies answers gives their probability as ``score``, too.
        """
        head = answering_head(self.model, self.cfg)
        names = class_answers(self.cfg, head)
        predictions = self._predictor.predict(head, *self._pairs(images, questions, "questions"))
        asked = [{"image": p.image, "question": p.text} for p in predictions]
        if names is None:
            return Rows(row | {"answer": p.fields["pred_answer"]} for row, p in zip(asked, predictions, strict=True))
        return Rows(
            row | {"answer": names[p.fields["pred_label"]], "score": p.fields["pred_score"]}
            for row, p in zip(asked, predictions, strict=True)
        )

    def label(self, images: Any, texts: Texts) -> list[dict[str, Any]]:
        """Classify images under texts by the head that was trained for it, as the questions of the demo are answered.

        Returns:
            One dict a text with ``image``, ``text``, ``label``, the number of the class from 0 in the order of the
            training's answers, and its ``probability``.
        """
        head = head_for(self.model, "label")
        predictions = self._predictor.predict(head, *self._pairs(images, texts, "texts"))
        return Rows(
            {
                "image": p.image,
                "text": p.text,
                "label": p.fields["pred_label"],
                "probability": p.fields["pred_score"],
            }
            for p in predictions
        )

    def caption(self, images: Any) -> list[dict[str, Any]]:
        """Describe images: one dict an image with ``image`` and ``caption``."""
        predictions = self._predictor.predict(head_for(self.model, "caption"), as_images(images))
        return Rows({"image": p.image, "caption": p.fields["pred_caption"]} for p in predictions)

    def ground(self, images: Any, expressions: Texts) -> list[dict[str, Any]]:
        """Locate the objects of expressions: one dict each with ``image``, ``expression``, ``box`` and ``score``.

        A box is left, top, right, bottom in pixels of the image as it came in (a photo turned upright, as its EXIF
        says), cut to it. A pipeline that crops raises ``ConfigError``.
        """
        head, pipeline = head_for(self.model, "ground"), self._predictor.pipeline
        pipeline.check_boxes()
        predictions = self._predictor.predict(head, *self._pairs(images, expressions, "expressions"))
        boxes = [pipeline.original_box(p.fields["pred_box"], p.size) for p in predictions]
        return Rows(
            {"image": p.image, "expression": p.text, "box": box, "score": p.fields["pred_box_score"]}
            for p, box in zip(predictions, boxes, strict=True)
        )

    def explain(
        self, images: Any, texts: Texts | None = None, out: str | Path | None = None, *, side_by_side: bool = False
    ) -> list[Explanation]:
        """Show which patches were read under which text: one ``Explanation`` a pair, a dict that prints as a summary.

        Args:
            images: One or several.
            texts: One or several; ``None`` shows the pass without text, by which captions and features are made.
            out: The path for pictures: a ``.png`` for all, or a folder. ``None`` returns them.
            side_by_side: One picture of one image, with what each text kept of it in a column.
        """
        shown, words = (as_images(images), None) if texts is None else self._pairs(images, texts, "texts")
        path = None if out is None else expand_home(out)
        if side_by_side:
            return Pictures(explain_side_by_side({"": self._predictor}, shown, words, path))
        return Pictures(explain(self._predictor, shown, words, path))

    def read_patches(self, images: Any, texts: Texts | None = None) -> list[Explanation]:
        """Return what ``explain`` does, undrawn: ``picture`` is the image as the model saw it, uint8 RGB (H, W, 3)."""
        shown, words = (as_images(images), None) if texts is None else self._pairs(images, texts, "texts")
        explanations, inputs = explanations_of(self._predictor, shown, words)
        for entry, pixels in zip(explanations, inputs, strict=True):
            entry["picture"] = pixels.flip(0).permute(1, 2, 0).cpu().numpy()  # (3, H, W), blue first, to (H, W, 3)
        return explanations

    def at_keep_ratio(self, keep_ratio: float) -> AbstractContextManager[None]:
        """Let every selector keep this share at each of its blocks as long as the ``with`` lasts.

        An index of images holds what was kept when it was made.

        Args:
            keep_ratio: In (0, 1], of what the selector's own setting of that name counts: most count the candidates
                at each block (0.5 at three blocks leaves an eighth), ``ELIP`` all patches of the image.

        Raises:
            ConfigError: It is no such share.
        """
        return at_keep_ratio(self.model, keep_ratio)

    def save_pretrained(self, folder: str | Path, *, licence: str | None = None) -> Path:
        """Write the model into a folder that ``bus_toolkit.from_pretrained`` loads elsewhere; return it.

        tools/README.md says what is in it, and what of a training is left out.

        Args:
            folder: A new one, or one that was written so before, which is replaced.
            licence: Of the weights, as SPDX writes it, such as ``Apache-2.0``; ``None`` leaves it open in the card.

        Raises:
            ConfigError: The folder cannot be written, or holds something else.
            CheckpointError: A part of the model is built from files elsewhere.
        """
        from bus_toolkit.pretrained.saving import save_model

        classifies = find_head(self.model.heads.values(), ClassificationHead)
        run = expand_home(self.source)
        return save_model(
            folder,
            cfg=self.cfg,
            model=self.model,
            pipeline=self._predictor.pipeline.nodes,
            answers=class_answers(self.cfg, classifies),
            run=run if run.is_dir() else None,
            licence=licence,
        )

    def _pairs(self, images: Any, texts: Texts, name: str) -> tuple[list[ImageInput], list[str]]:
        return pair_up(as_images(images), as_texts(texts, name), name)
