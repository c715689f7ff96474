"""The loop that our evaluations have in common: it runs as the validation and as the test of MMEngine's Runner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import ValLoop, autocast
from mmengine.runner.loops import _parse_losses, _update_losses

from bus_toolkit.evaluation.metrics.base import WriteLines


class EvalLoop(ValLoop):
    """MMEngine's validation loop, also for tests, with a place before, in and after the passes over the data.

    A subclass replaces ``prepare``, ``predict`` or ``more_metrics``. It declares by ``gives`` what its ``predict`` adds
    to the heads' predictions, and by ``reads`` which of them it reads itself.
    """

    gives: ClassVar[tuple[str, ...]] = ()
    write_lines: WriteLines | None = None
    """Where verdicts of the loop itself go, beside those of the metrics."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The predictions that the loop reads, beside those that metrics and hooks do."""
        return ()

    @property
    def bare_model(self) -> Any:
        """The model without its distributed wrapper."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    @property
    def stage(self) -> str:
        """``test`` when it runs as the Runner's test loop, else ``val``: whose hooks are called."""
        return "test" if self.runner._test_loop is self else "val"

    def prepare(self) -> None:
        """Compute what all batches need; the model is in eval mode."""

    def predict(self, data_batch: Any) -> Sequence[Any]:
        """Return the predicted samples of a batch as a loader gives it."""
        return getattr(self.runner.model, f"{self.stage}_step")(data_batch)

    def more_metrics(self) -> dict[str, float]:
        """Return metrics beside those of the evaluator, after the last batch."""
        return {}

    def run(self) -> dict[str, float]:
        """Evaluate the data set and return all metrics."""
        stage = self.stage
        self.runner.call_hook(f"before_{stage}")
        self.runner.call_hook(f"before_{stage}_epoch")
        self.runner.model.eval()
        self.prepare()
        self.val_loss.clear()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        metrics: dict[str, float] = self.evaluator.evaluate(len(self.dataloader.dataset))
        if self.val_loss:
            metrics.update(_parse_losses(self.val_loss, stage))
        metrics.update(self.more_metrics())
        self.runner.call_hook(f"after_{stage}_epoch", metrics=metrics)
        self.runner.call_hook(f"after_{stage}")
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> Sequence[Any]:
        """Predict one batch, give it to the metrics and the hooks, and return the predicted samples."""
        stage = self.stage
        self.runner.call_hook(f"before_{stage}_iter", batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            outputs = self.predict(data_batch)
        # A model may end its samples by an element that holds losses.
        outputs, losses = _update_losses(outputs, self.val_loss)
        self.val_loss: dict[str, Any] = losses
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(f"after_{stage}_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        return outputs
