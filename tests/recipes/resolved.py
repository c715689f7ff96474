"""Read from a resolved config what the sourced values name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bus_toolkit.config.image_size import final_sizes
from bus_toolkit.heads.itc import COLDEST, WARMEST
from bus_toolkit.tokenizers.wordpiece import BERT_VOCABULARY

ROOT = Path(__file__).parents[2] / "registry_configs"
ARCHITECTURES = {"base": {"embed_dims": 768, "num_layers": 12, "num_heads": 12, "feedforward_channels": 3072}}
FUSIONS = {
    "CrossAttentionFusion": "cross_attention",
    "SkipConnectedFusion": "skip_connected",
    "CoAttentionFusion": "co_attention",
}
HEADS = {"prefix_lm": "lm"}  # names of the sources, where they differ
PIXEL = 255.0


def read(name: str, config: Config) -> Any:
    """Return our value for a sourced name; ``KeyError`` for a name that no setting of a config decides."""
    return READERS[name](config)


def _arch(config: Config) -> Mapping[str, int]:
    arch = config.model.backbone.arch
    return ARCHITECTURES[arch] if isinstance(arch, str) else arch


def _tower_kind(config: Config) -> str:
    if config.model.fusion is not None and config.model.fusion.type == "SingleStreamFusion":
        return "single_stream_vit"
    return "clip_vit" if config.model.backbone.get("pre_norm") else "vit_deit"


def _blocks(config: Config) -> Mapping[str, Any]:
    return config.model.backbone.get("layer_cfgs") or {}


def _head(config: Config, name: str, key: str, default: Any) -> Any:
    node = config.model.heads.get(name)
    return None if node is None else node.get(key, default)


def _momentum(config: Config, key: str, default: Any = None) -> Any:
    return (config.model.get("momentum") or {}).get(key, default)


def _selector(config: Config) -> Mapping[str, Any]:
    (node,) = config.model.selectors
    return node


def _transform(config: Config, loader: str, kind: str) -> Mapping[str, Any] | None:
    """Return the first transform of a kind; pipelines of several sources are alike."""
    pipelines = list(_pipelines(config[loader].dataset))
    nodes = [[{**node, "keep_named": False} for node in _flat(one) if node["type"].endswith(kind)] for one in pipelines]
    assert all(found == nodes[0] for found in nodes), f"{loader}: sources are augmented in different ways"
    return nodes[0][0] if nodes[0] else None


def _flat(pipeline: Sequence[Any]) -> Sequence[Any]:
    """Return transforms with those that a transform holds for each of several images."""
    return [one for node in pipeline for one in (node, *node.get("transforms", ()))]


def _pipelines(node: Any) -> Sequence[Any]:
    if isinstance(node, Mapping):
        own = [node["pipeline"]] if "pipeline" in node else []
        return [*own, *(one for key, child in node.items() if key != "pipeline" for one in _pipelines(child))]
    return []


def _crop(config: Config) -> list[float] | None:
    node = _transform(config, "train_dataloader", "RandomResizedCropWithBoxes")
    return None if node is None else list(node["crop_ratio_range"])


def _rand_augment(key: str, default: Any) -> Callable[[Config], Any]:
    def reader(config: Config) -> Any:
        node = _transform(config, "train_dataloader", "RandAugmentWithBoxes")
        return None if node is None else node.get(key, default)

    return reader


def _cleaning(config: Config) -> str:
    node = _transform(config, "train_dataloader", "CleanText")
    return "none" if node is None else node["rule"]


def _flip(config: Config) -> float:
    node = _transform(config, "train_dataloader", "RandomFlipWithText")
    return 0.0 if node is None else node["prob"]


def _size(loader: str) -> Callable[[Config], Any]:
    def reader(config: Config) -> Any:
        sizes = {size for path, size in final_sizes(config) if path.startswith(loader)}
        (size,) = sizes | {(config.model.backbone.img_size,) * 2}  # the model's and those of all pipelines are one
        return size[0]

    return reader


def _rate(config: Config, key: str) -> float:
    rule = (config.optim_wrapper.paramwise_cfg.get("custom_keys") or {}).get(key, {})
    return config.optim_wrapper.optimizer.lr * rule.get("lr_mult", 1.0)


def _decay_exempt(config: Config) -> list[str]:
    rules = config.optim_wrapper.paramwise_cfg
    names = {"norm_decay_mult": "norm", "bias_decay_mult": "bias", "flat_decay_mult": "one_dimensional"}
    # Weights of norms are among the parameters of one dimension.
    exempt = [name for key, name in names.items() if rules.get(key, 1.0) == 0.0]
    return [name for name in exempt if name != "norm" or "one_dimensional" not in exempt]


def _schedule(config: Config, kind: str) -> Mapping[str, Any] | None:
    return next((node for node in config.param_scheduler if node.type.endswith(kind)), None)


KINDS = {"CosineAnnealingLR": "cosine", "ExponentialLR": "exponential", "PolyLR": "polynomial"}


def _after_warm_up(config: Config) -> Mapping[str, Any]:
    (node,) = [node for node in config.param_scheduler if node.type.rpartition(".")[2] in KINDS]
    return node


def _kind(config: Config) -> str:
    return KINDS[_after_warm_up(config).type.rpartition(".")[2]]


def _steps(config: Config, iterations: int) -> float:
    return iterations / config.optim_wrapper.get("accumulative_counts", 1)


def _warm_up(config: Config) -> Mapping[str, Any]:
    return _schedule(config, "LinearLR")  # type: ignore[return-value]


def _gpus(config: Config) -> int:
    """Return the processes of the command in the recipe's head."""
    return int(re.search(r"Command: bash tools/dist_train\.sh \S+ (\d+)", Path(config.filename).read_text())[1])


def _total(config: Config) -> int:
    return _per_gpu(config) * _gpus(config) * config.optim_wrapper.get("accumulative_counts", 1)


def _per_gpu(config: Config) -> int:
    """Return the pairs of a batch: rows of boxes alone are no pairs."""
    loader = config.train_dataloader
    boxed = [name for name, source in (loader.dataset.get("sources") or {}).items() if source.get("boxed_only")]
    return loader.batch_size - sum(loader.batch_sampler.weights[name] for name in boxed)


def _kept(config: Config) -> list[int]:
    side = config.model.backbone.img_size // config.model.backbone.patch_size
    return [int(ratio * side * side + 1e-9) for ratio in _selector(config)["keep_ratio"]]


def _text_encoder(key: str) -> Callable[[Config], Any]:
    return lambda config: config.model.text_encoder[key]


def _fusion(key: str) -> Callable[[Config], Any]:
    return lambda config: config.model.fusion[key]


def _weights(config: Config) -> dict[str, float]:
    return {HEADS.get(name, name): node.get("weight", 1.0) for name, node in config.model.heads.items()}


def _connected(config: Config) -> list[int]:
    stride = config.model.fusion.stride
    return [layer for layer in range(config.model.fusion.num_layers) if layer and layer % stride == 0]


READERS: Mapping[str, Callable[[Config], Any]] = {
    "tower.kind": _tower_kind,
    "tower.patch_size": lambda c: c.model.backbone.patch_size,
    "tower.width": lambda c: _arch(c)["embed_dims"],
    "tower.depth": lambda c: _arch(c)["num_layers"],
    "tower.heads": lambda c: _arch(c)["num_heads"],
    "tower.mlp_ratio": lambda c: _arch(c)["feedforward_channels"] / _arch(c)["embed_dims"],
    "tower.activation": lambda c: {"mmpretrain.QuickGELU": "quick_gelu", "GELU": "gelu"}[
        _blocks(c).get("act_cfg", {}).get("type", "GELU")
    ],
    "tower.norm_eps": lambda c: (c.model.backbone.get("norm_cfg") or {}).get("eps", 1e-6),
    "tower.pre_norm": lambda c: c.model.backbone.get("pre_norm", False),
    "tower.patch_bias": lambda c: not c.model.backbone.get("pre_norm", False),
    "tower.output_norm": lambda c: c.model.backbone.get("final_norm", True),
    "tower.drop_path": lambda c: c.model.backbone.get("drop_path_rate", 0.0),
    "tower.dropout": lambda c: c.model.backbone.get("drop_rate", 0.0),
    "tower.attention_dropout": lambda c: _blocks(c).get("attn_drop_rate", 0.0),
    "tower.position_resize": lambda c: c.model.backbone.get("interpolate_mode", "bicubic"),
    "text.kind": lambda c: "bert" if c.model.text_encoder.num_layers else "embeddings_only",
    "text.vocab_size": lambda c: len(BERT_VOCABULARY.read_text(encoding="utf-8").splitlines()),
    "text.width": _text_encoder("hidden_size"),
    "text.heads": _text_encoder("num_heads"),
    "text.layers": _text_encoder("num_layers"),
    "text.dropout": _text_encoder("dropout"),
    "text.max_tokens": lambda c: c.model.tokenizer.max_length,
    "fusion.kind": lambda c: FUSIONS[c.model.fusion.type],
    "fusion.layers": _fusion("num_layers"),
    "fusion.heads": _fusion("num_heads"),
    "fusion.width": _text_encoder("hidden_size"),
    "fusion.dropout": _fusion("dropout"),
    "fusion.stride": _fusion("stride"),
    "fusion.connected_layers": _connected,
    "decoder.layers": lambda c: c.model.text_decoder.num_layers,
    "data.train_image_size": _size("train_dataloader"),
    "data.test_image_size": _size("test_dataloader"),
    "augment.crop_scale": _crop,
    "augment.flip_probability": _flip,
    "data.text_cleaning": _cleaning,
    "augment.randaugment_num_ops": lambda c: _rand_augment("num_ops", 2)(c) or 0,
    "augment.randaugment_magnitude": _rand_augment("magnitude", 7),
    "augment.randaugment_op_probability": _rand_augment("prob", 0.5),
    "augment.mean": lambda c: [value / PIXEL for value in c.model.data_preprocessor.mean],
    "augment.std": lambda c: [value / PIXEL for value in c.model.data_preprocessor.std],
    "optim.type": lambda c: c.optim_wrapper.optimizer.type.lower(),
    "optim.lr": lambda c: c.optim_wrapper.optimizer.lr,
    "optim.lr_visual": lambda c: _rate(c, "backbone.vit"),
    "optim.lr_fusion": lambda c: _rate(c, "fusion"),
    "optim.lr_heads": lambda c: _rate(c, "heads"),
    "optim.weight_decay": lambda c: c.optim_wrapper.optimizer.weight_decay,
    "optim.betas": lambda c: list(c.optim_wrapper.optimizer.betas),
    "optim.eps": lambda c: c.optim_wrapper.optimizer.get("eps", 1e-8),
    "optim.decay_exempt": _decay_exempt,
    "optim.clip_grad": lambda c: (c.optim_wrapper.get("clip_grad") or {}).get("max_norm"),
    "optim.precision": lambda c: {"OptimWrapper": "float32"}[c.optim_wrapper.type],
    "schedule.kind": _kind,
    "schedule.unit": lambda c: "epoch" if _after_warm_up(c)["by_epoch"] else "step",
    "schedule.epochs": lambda c: c.train_cfg.max_epochs,
    "schedule.steps": lambda c: _steps(c, c.train_cfg.max_iters),
    "schedule.decay_rate": lambda c: _after_warm_up(c).get("gamma", 1),
    "schedule.min_lr": lambda c: _after_warm_up(c).get("eta_min", 0.0),
    "schedule.warmup_start": lambda c: c.optim_wrapper.optimizer.lr * _warm_up(c)["start_factor"],
    "schedule.warmup_steps": lambda c: _steps(c, _warm_up(c)["end"]),
    "schedule.warmup_share": lambda c: _warm_up(c)["end"] / c.train_cfg.max_iters,
    "schedule.warmup_stair": lambda c: 1,
    "batch.per_gpu": _per_gpu,
    "batch.gpus": _gpus,
    "batch.total": _total,
    "contrast.embed_dim": lambda c: _head(c, "itc", "feature_dim", 256),
    "contrast.temperature": lambda c: _head(c, "itc", "temperature", 0.07),
    "contrast.temperature_range": lambda c: [COLDEST, WARMEST],
    "contrast.queue_size": lambda c: _head(c, "itc", "queue_size", 0),
    "contrast.momentum": lambda c: _momentum(c, "decay"),
    "contrast.alpha": lambda c: _head(c, "itc", "alpha", 0.4),
    "contrast.distill": lambda c: _head(c, "itc", "alpha", 0.4) > 0 and c.model.momentum is not None,
    "contrast.alpha_ramp_epochs": lambda c: _momentum(c, "alpha_ramp_epochs", 0),
    "contrast.same_image_targets": lambda c: True,
    "match.negatives": lambda c: "hard_in_all_batches" if "itc" in c.model.heads else "random_image_and_text",
    "match.negative_epsilon": lambda c: _head(c, "itm", "negative_floor", 0.0),
    "match.skip_same_image": lambda c: True,
    "mlm.probability": lambda c: _head(c, "mlm", "mask_prob", 0.15),
    "mlm.whole_word": lambda c: bool(_head(c, "mlm", "whole_words", False)),
    "mlm.replace": lambda c: [0.8, 0.1, 0.1] if _head(c, "mlm", "replacement", "mask") == "bert" else [1.0, 0.0, 0.0],
    "mlm.distill": lambda c: (_head(c, "mlm", "alpha", 0.0) or 0.0) > 0,
    "lm.label_smoothing": lambda c: _head(c, "prefix_lm", "label_smoothing", 0.0),
    "lm.distill": lambda c: (_head(c, "prefix_lm", "alpha", 0.0) or 0.0) > 0,
    "loss.names": lambda c: list(c.model.heads),
    "loss.weights": _weights,
    "select.blocks": lambda c: list(_selector(c)["blocks"]),
    "select.first_blocks": lambda c: [block - 1 for block in _selector(c)["blocks"]],
    "select.look_ahead_blocks": lambda c: list(_selector(c)["look_ahead"]),
    "select.keep_ratio": lambda c: _selector(c)["keep_ratio"],
    "select.keep_ratios": lambda c: list(_selector(c)["keep_ratio"]),
    "select.kept_patches": _kept,
    "select.class_token_share": lambda c: 1 - _selector(c).get("text_weight", 0.2),
    "select.momentum_tower": lambda c: _momentum(c, "selection", "none") != "none",
    "select.warmup": lambda c: "cosine" if isinstance(_selector(c)["keep_ratio"], Mapping) else "none",
}
