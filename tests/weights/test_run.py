"""A training that starts from weights, stops, resumes without their file, and starts another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf

from bus_toolkit.backbones.adapters.huggingface_parts import attention_parts, vit_blocks
from bus_toolkit.engine import RunOptions, evaluate, load_checkpoint_file, train
from bus_toolkit.errors import ConfigError
from tests.small_run import small
from tests.weights.sources import randomised

CONFIG = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
BIAS = "backbone.vit.layers.0.attn.proj.bias"


@pytest.mark.slow
def test_weights_start_a_training_and_a_checkpoint_wins_over_them(tmp_path: Path) -> None:
    from bus_toolkit import build_model, load_config

    own = build_model(load_config(CONFIG).model).backbone.vit
    arch, size, patch = own.arch_settings, own.img_size[0], own.patch_embed.projection.kernel_size[0]
    sizes = {"hidden_size": arch["embed_dims"], "num_hidden_layers": arch["num_layers"]}
    sizes |= {"num_attention_heads": arch["num_heads"], "intermediate_size": arch["feedforward_channels"]}
    config = hf.ViTConfig(**sizes, image_size=size, patch_size=patch)
    source = randomised(hf.ViTModel(config, add_pooling_layer=False))
    source.save_pretrained(tmp_path / "vit")
    wanted = attention_parts(vit_blocks(source)[0]).output.bias
    still = small(tmp_path / "scenes", "optim_wrapper.optimizer.lr=0", f"model.backbone.pretrained={tmp_path / 'vit'}")

    def run(folder: str, *overrides: str, **flags: object) -> torch.Tensor:
        options = RunOptions(work_dir=str(tmp_path / folder), no_validate=True, **flags)  # type: ignore[arg-type]
        train(CONFIG, [*still, *overrides], options)
        last = sorted((tmp_path / folder).glob("epoch_*.pth"))[-1]
        return load_checkpoint_file(last)["state_dict"][BIAS]

    torch.testing.assert_close(run("first"), wanted, atol=0, rtol=0)
    first = tmp_path / "first" / "epoch_1.pth"
    other = tmp_path / "other.pth"
    held = load_checkpoint_file(first)["state_dict"]
    torch.save({"state_dict": {**held, BIAS: torch.ones_like(held[BIAS])}}, other)
    assert torch.equal(run("second", f"load_from={other}"), torch.ones_like(wanted))
    (tmp_path / "vit" / "model.safetensors").unlink()
    torch.testing.assert_close(run("first", "train_cfg.max_epochs=2", resume="latest"), wanted, atol=0, rtol=0)
    evaluate(
        CONFIG, still, RunOptions(work_dir=str(tmp_path / "test"), load_from=str(tmp_path / "first" / "epoch_2.pth"))
    )
    with pytest.raises(ConfigError, match="model.backbone.pretrained: .*vit holds no weights"):
        run("third")
    resumed = run("first", "train_cfg.max_epochs=3", "resume=true")
    torch.testing.assert_close(resumed, wanted, atol=0, rtol=0)
