"""Small stand-ins for the parts, so that these tests are about the config alone."""

import types
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from bus_toolkit import hookimpl
from bus_toolkit.heads import VLPHead
from bus_toolkit.models.build import build_vlp_model
from bus_toolkit.plugin import manager
from bus_toolkit.plugin.manager import PluginLoader
from bus_toolkit.registry import DATASETS, MODELS, REGISTRIES
from bus_toolkit.structures import Condition


class TSPS:
    def __init__(
        self,
        *,
        blocks: list[int],
        embed_dim: int,
        keep_ratio: float | Mapping[str, Any] = 0.5,
        fuse: Literal["none", "raw"] = "none",
        interaction: str = "concat",
    ) -> None: ...


class Random:
    def __init__(self, *, blocks: list[int], keep_ratio: float | Mapping[str, Any] = 0.5) -> None: ...


class PAD:
    def __init__(self, *, embed_dim: int, num_layers: int = 2, num_queries: int | None = None) -> None: ...


class Identity:
    pass


class Words:
    def __init__(self, *, max_length: int = 8) -> None: ...


class Encoder:
    def __init__(self, *, vocab_size: int, dropout: float = 0.0) -> None: ...


class Vit:
    def __init__(self, *, arch: str = "tiny") -> None: ...


class Head(VLPHead):
    sees = Condition.CAPTION

    def __init__(self, *, weight: float = 1.0) -> None: ...


class Points:
    def __init__(self, length: int = 8, pipeline: tuple = ()) -> None: ...


BASE = """
model:
  type: VLPModel
  tokenizer: {type: Words}
  text_encoder: {type: Encoder}
  backbone: {type: Vit}
  selectors:
    - {type: TSPS, blocks: [3], keep_ratio: 0.5, interaction: product}
  decoder: {type: PAD, num_layers: 1, num_queries: 4}
  heads:
    one: {type: Head}
train_dataloader:
  batch_size: 4
  dataset: {type: Points, pipeline: [{type: LoadImageFromFile}]}
  sampler: {type: DefaultSampler, shuffle: true}
train_cfg: {type: EpochBasedTrainLoop, max_epochs: 3}
optim_wrapper:
  type: OptimWrapper
  optimizer: {type: AdamW, lr: 1e-3, betas: [0.9, 0.98]}
default_hooks:
  logger: {type: LoggerHook, interval: 10}
randomness: {seed: 0}
"""


@pytest.fixture
def use_plugins(monkeypatch):
    """Return a function that puts the stand-ins, and the given plugin modules, in the place of the built-in parts."""
    saved = [(r.entries, dict(r.entries)) for r in REGISTRIES.all()]
    real_model = MODELS.module_dict.get("VLPModel")

    def register_components(registries):
        registries.selectors.register(TSPS)
        registries.selectors.register(Random)
        registries.decoders.register(PAD)
        registries.decoders.register(Identity)
        registries.tokenizers.register(Words)
        registries.text_encoders.register(Encoder)
        registries.backbones.register(Vit)
        registries.heads.register(Head)

    builtins = types.ModuleType("stand_ins")
    builtins.register_components = hookimpl(register_components)

    class Entry:
        dist, value = None, "test"

        def __init__(self, module):
            self.name, self.load = module.__name__, lambda: module

    def use(*modules):
        monkeypatch.setattr(
            manager, "_LOADER", PluginLoader(REGISTRIES, lambda: [Entry(m) for m in modules], {}, builtins)
        )

    MODELS.register_module(name="VLPModel", module=build_vlp_model, force=True)
    DATASETS.register_module(name="Points", module=Points, force=True)
    try:
        yield use
    finally:
        for table, entries in saved:
            table.clear()
            table.update(entries)
        # Only these two: what a module imported meanwhile has registered must stay.
        del DATASETS.module_dict["Points"], MODELS.module_dict["VLPModel"]
        if real_model is not None:
            MODELS.module_dict["VLPModel"] = real_model


@pytest.fixture
def write(tmp_path, use_plugins):
    """Return a function that writes a YAML file and returns its path; the stand-ins are in place."""
    use_plugins()

    def write_file(text, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    write_file(BASE, "base.yaml")
    return write_file
