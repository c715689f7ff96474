"""PRIOR's two recipes, cut to a few steps: the reference, then the model that asks it; later no file is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bus_toolkit.engine import RunOptions, evaluate, load_checkpoint_file, train
from bus_toolkit.errors import CheckpointError
from tests.small_run import small

CONFIGS = Path(__file__).parent.parent / "registry_configs" / "prior"
REFERENCE = "heads.prefix_lm.reference."


def weights(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    found = load_checkpoint_file(path)["state_dict"]
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


@pytest.mark.slow
def test_the_reference_serves_the_training_and_is_not_asked_for_again(tmp_path: Path) -> None:
    scenes, checkpoint = tmp_path / "scenes", tmp_path / "reference" / "epoch_1.pth"
    recipe, prior = CONFIGS / "reference_scenes_tiny.yaml", CONFIGS / "prior_scenes_tiny.yaml"
    train(recipe, small(scenes), RunOptions(work_dir=str(checkpoint.parent)))
    assert (checkpoint.parent / "report" / "val" / "results.json").is_file()
    metrics = evaluate(recipe, small(scenes), RunOptions(work_dir=str(tmp_path / "test"), load_from=str(checkpoint)))
    assert metrics["caption/perplexity"] > 1

    overrides = small(
        scenes,
        "model.heads.prefix_lm.start_epoch=0",
        f"model.heads.prefix_lm.reference_weights={checkpoint}",
        "val_cfg.rerank_topk=0",
        "test_cfg.rerank_topk=0",
    )
    run = tmp_path / "prior"
    train(prior, overrides, RunOptions(work_dir=str(run), no_validate=True))
    reference = weights(checkpoint, "text_decoder.")
    checkpoint.unlink()
    options = RunOptions(work_dir=str(run), no_validate=True, resume="latest")
    train(prior, [*overrides, "train_cfg.max_epochs=2"], options)
    kept = weights(run / "epoch_2.pth", REFERENCE)
    assert reference and all(torch.equal(kept[name], value) for name, value in reference.items())
    evaluate(prior, overrides, RunOptions(work_dir=str(tmp_path / "test"), load_from=str(run / "epoch_2.pth")))
    with pytest.raises(CheckpointError, match="reference_weights: .*no such checkpoint.*Train the reference first"):
        train(prior, overrides, RunOptions(work_dir=str(tmp_path / "fresh"), no_validate=True))
    assert not list((tmp_path / "fresh").glob("*.pth"))
