"""MACs of a model counted without computing anything: on torch's meta device, where tensors have shapes only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from bus_toolkit.analysis.benchmark.causal_workload import CausalWorkload
from bus_toolkit.analysis.benchmark.workload import Scope, Workload, made_up_batch
from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.models.build import build_model
from bus_toolkit.models.causal.vlm import CausalVLM

Pass = Literal["step", "forward"]
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """The input of a model: ``image_size`` in pixels and ``grid`` in patches, both (rows, columns); longest text."""

    image_size: tuple[int, int]
    grid: tuple[int, int]
    max_length: int

    @property
    def num_patches(self) -> int:
        """Patches N of an image."""
        return self.grid[0] * self.grid[1]


def frame_of(model: Mapping[str, Any]) -> Frame:
    """Return the frame of the ``model`` part of a config.

    Raises:
        ConfigError: Parts that do not go together, or patches that do not tile the image.
        ComponentError: A part that refuses its arguments.
    """
    with torch.device("meta"):
        built = build_model(model)
    return Frame(built.backbone.image_size, built.backbone.grid, built.tokenizer.max_length)


class MacCounter:
    """Counts whole models at one batch; the figures equal those of real passes.

    A part that asks a tensor for its numbers cannot run on shapes alone: from then on real passes on the CPU are
    counted, which takes as long as they do.

    Args:
        work: ``step``, a training step forward and backward with all heads, or ``forward``, its forward pass alone.
        text_length: Tokens of every caption.
        batch_size: Images, 2 or more: so that each has wrong pairs, as in training. Rows that a batch sampler appends
            and the similarities among more images are not in it.
        texts_per_image: Texts of each image, as in a training on ``TextsOfImage``: they share what reads none of them.
        device: ``cpu`` counts real passes from the start: faster for toys.
        scope: What belongs to the work (see ``Workload``).
    """

    def __init__(
        self,
        work: Pass,
        text_length: int,
        *,
        batch_size: int = 2,
        texts_per_image: int = 1,
        device: Literal["meta", "cpu"] = "meta",
        scope: Scope = "model",
    ) -> None:
        self.work, self.text_length, self.batch_size = work, text_length, batch_size
        self.texts_per_image = texts_per_image
        self._device, self._scope = device, scope

    def macs(self, model: Mapping[str, Any]) -> int:
        """Return the MACs of a text with its image, by the ``model`` part of a config, rounded down.

        With Q texts an image that is a text's own share, and a Q-th of what its image needs once.
        """
        total = self._run(model, lambda load: count_macs(getattr(load, self.work)))
        return total // (self.batch_size * self.texts_per_image)

    def tokens(self, model: Mapping[str, Any]) -> list[int]:
        """Return visual tokens, prefix included, after each block and, last, after the decoder."""
        return list(self.tokens_by_stage(model).values())

    def tokens_by_stage(self, model: Mapping[str, Any]) -> dict[str, int]:
        """Return the same by the names of the stages; those of a causal language model's layers come last."""
        return self._run(model, lambda load: load.tokens_by_stage())

    def tokens_for_decoder(self, model: Mapping[str, Any]) -> int:
        """Return the visual tokens that reach the decoder, without class token and registers."""
        return self._run(model, lambda load: load.tokens_for_decoder())

    def _run(self, model: Mapping[str, Any], ask: Callable[[Workload | CausalWorkload], _T]) -> _T:
        if self._device == "meta":
            try:
                with _autocast_knows_meta():
                    return ask(self._load(model))
            except (RuntimeError, TypeError) as error:  # torch raises both there
                reason = str(error).splitlines()[0]
                _log.warning("Cannot count by shapes alone (%s); counting real passes, which takes longer.", reason)
                self._device = "cpu"
        return ask(self._load(model))

    def _load(self, model: Mapping[str, Any]) -> Workload | CausalWorkload:
        with torch.device(self._device):
            built = build_model(model)
        batch = made_up_batch(built, self.batch_size, self.text_length, texts_per_image=self.texts_per_image)
        kind = CausalWorkload if isinstance(built, CausalVLM) else Workload
        return kind(built, self._scope, batch)


@contextmanager
def _autocast_knows_meta() -> Iterator[None]:
    """Let parts switch autocast off on the meta device, where there is none, instead of raising as torch does."""
    real = torch.autocast

    def autocast(device_type: str, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        return nullcontext() if device_type == "meta" else real(device_type, *args, **kwargs)

    torch.autocast = autocast  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        torch.autocast = real  # type: ignore[misc]
