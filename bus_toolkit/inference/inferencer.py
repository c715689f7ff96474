"""Ask a trained model: retrieve, answer, caption, ground, explain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from bus_toolkit.engine.device import find_device
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.errors import ConfigError
from bus_toolkit.inference.explanation import check_target, draw, explain_batch
from bus_toolkit.inference.heads import head_for
from bus_toolkit.inference.index import ImageIndex
from bus_toolkit.inference.inputs import ImageInput, as_images, as_texts, pair_up
from bus_toolkit.inference.loading import load_trained
from bus_toolkit.inference.passes import Passes
from bus_toolkit.inference.pipeline import ImagePipeline
from bus_toolkit.inference.retrieval import check_search, retrieve


class Inferencer:
    """A trained model that can be asked about images.

    An image is one or a list of: a path, a PIL image, a NumPy array uint8 (H, W, 3) and a torch tensor uint8
    (3, H, W), channels red green blue. A text is a string or a list. One image stands for several texts and one text
    for several images. Results are lists in the order of the input and plain Python objects; only pictures are arrays.
    Files go through the decoder of ``LoadImage``, then everything through the transforms of the config's evaluation:
    a file gives what ``bus-toolkit test`` predicts for it. What cannot be used is told before any result or file.

    Args:
        source: A run folder (``config.yaml`` and its newest checkpoint), or a YAML with ``checkpoint``.
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
        where = find_device(None if device is None else str(device))
        self.cfg, self.model = load_trained(source, checkpoint, cfg_options, where)
        height, width = self.model.backbone.image_size
        self._passes = Passes(self.model, ImagePipeline(self.cfg, (height, width)), batch_size)

    def index(self, images: Any, *, rerank: bool = False) -> ImageIndex:
        """Encode images once, to search among them many times.

        Args:
            images: One or several.
            rerank: Keep the tokens in front of the first selector too, on the CPU, so that ``retrieve`` can re-rank.

        Raises:
            ConfigError: The model has no ITC head.
            DataError: An image that cannot be used.
        """
        head_for(self.model, "index")
        index = ImageIndex()
        with torch.no_grad():
            for chunk, batch in self._passes.batches(as_images(images)):
                index.add(self.model, batch, [image.name for image in chunk], keep_tokens=rerank)
        return index

    def retrieve(
        self,
        images: Any,
        texts: str | Sequence[str],
        topk: int = 5,
        rerank: int | None = None,
        direction: Literal["both", "i2t", "t2i"] = "both",
    ) -> Any:
        """Find the best texts of each image and the best images of each text.

        Ranked by cosine of features that the other side did not touch. With ``rerank`` the best so many of each query
        come first, in the order of image-text matching, the text selecting the patches; ``itc_weight`` of the config's
        ``test_cfg`` counts as it does there.

        Args:
            images: One or several, or an ``ImageIndex``.
            texts: One or several.
            topk: Partners of each query in the result.
            rerank: Partners of each query that are scored by matching.
            direction: ``i2t``: for each image, ``t2i``: for each text, ``both``.

        Returns:
            A list with one entry a query: a list, best first, of ``index``, ``text`` or ``image``, ``score`` (cosine)
            and with ``rerank`` ``match`` (probability, or ``None`` where it was not scored). For ``both`` a dict of two
            such lists, ``i2t`` and ``t2i``.

        Raises:
            ConfigError: The model lacks the head, or a setting is out of range.
            DataError: An image or a text that cannot be used.
        """
        head_for(self.model, "retrieve")
        if rerank is not None:
            head_for(self.model, "retrieve(rerank=...)")
        check_search(topk, rerank, direction)
        words = as_texts(texts)
        index = images if isinstance(images, ImageIndex) else self.index(images, rerank=rerank is not None)
        loop = self.cfg.get("test_cfg") or self.cfg.get("val_cfg") or {}
        with torch.no_grad():
            found = retrieve(
                self.model,
                index,
                words,
                topk=topk,
                rerank=rerank,
                direction=direction,
                itc_weight=float(loop.get("itc_weight", 0.0)),
                batch_size=self._passes.batch_size,
            )
        return found if direction == "both" else found[direction]

    def answer(self, images: Any, questions: str | Sequence[str]) -> list[dict[str, Any]]:
        """Answer questions: one dict a question with ``image``, ``question`` and ``answer``.

        Raises:
            ConfigError: The model has no VQAHead.
            DataError: An image or a text that cannot be used, or unequal numbers.
        """
        head = head_for(self.model, "answer")
        asked = self._passes.ask(head, *self._pairs(images, questions, "questions"))
        return [{"image": a.image, "question": a.text, "answer": a.fields["pred_answer"]} for a in asked]

    def caption(self, images: Any) -> list[dict[str, Any]]:
        """Describe images: one dict an image with ``image`` and ``caption``.

        Raises:
            ConfigError: The model has no CaptionHead.
            DataError: An image that cannot be used.
        """
        asked = self._passes.ask(head_for(self.model, "caption"), as_images(images))
        return [{"image": a.image, "caption": a.fields["pred_caption"]} for a in asked]

    def ground(self, images: Any, expressions: str | Sequence[str]) -> list[dict[str, Any]]:
        """Find what expressions speak of.

        Returns:
            One dict an expression: ``image``, ``expression``, ``box``: left, top, right, bottom in pixels of the image
            as it came in (a photo turned upright, as its EXIF says), cut to it, and ``score``.

        Raises:
            ConfigError: The model has no GroundingHead, or its pipeline crops.
            DataError: An image or a text that cannot be used, or unequal numbers.
        """
        head = head_for(self.model, "ground")
        self._passes.pipeline.check_boxes()
        asked = self._passes.ask(head, *self._pairs(images, expressions, "expressions"))
        return [
            {
                "image": a.image,
                "expression": a.text,
                "box": self._passes.pipeline.original_box(a.fields["pred_box"], a.size),
                "score": a.fields["pred_score"],
            }
            for a in asked
        ]

    def explain(
        self, images: Any, texts: str | Sequence[str] | None = None, out: str | Path | None = None
    ) -> list[dict[str, Any]]:
        """Show which patches were read under which text.

        Args:
            images: One or several.
            texts: One or several; ``None`` shows the pass without text, by which captions and features are made.
            out: Where pictures go: a ``.png`` for all, or a folder. ``None`` returns them.

        Returns:
            One dict a pair: ``image``, ``text``, ``grid``, ``kept``, ``selectors``, ``tokens`` (see
            ``bus_toolkit.inference.explanation.explain_batch``) and ``picture``: the path, or pixels uint8 RGB.

        Raises:
            ConfigError: ``out`` is neither a folder nor a PNG.
            DataError: An image or a text that cannot be used, unequal numbers, or a place that cannot be written to.
        """
        chosen, words = (as_images(images), None) if texts is None else self._pairs(images, texts, "texts")
        if out is not None:
            check_target(Path(out), len(chosen))
        condition = "free" if texts is None else "caption"
        found: list[dict[str, Any]] = []
        inputs: list[torch.Tensor] = []
        with torch.no_grad():
            for chunk, batch in self._passes.batches(chosen, words):
                rows = explain_batch(self._passes.step(batch).visual(condition))
                for image, sample, row in zip(chunk, batch["data_samples"], rows, strict=True):
                    found.append({"image": image.name, "text": sample.text if words else None} | row)
                inputs += batch["inputs"]
        draw(found, inputs, None if out is None else Path(out))
        return found

    def _pairs(self, images: Any, texts: str | Sequence[str], what: str) -> tuple[list[ImageInput], list[str]]:
        return pair_up(as_images(images), as_texts(texts, what), what)
