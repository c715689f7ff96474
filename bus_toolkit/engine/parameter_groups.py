"""Learning rate and weight decay of each parameter, by ``optim_wrapper.paramwise_cfg``. Importing this registers both.

MMEngine's and mmpretrain's constructors read the same settings, but there a custom key switches all other rules off for
the parameters that it matches: a rate for the vision tower would let its norms and biases decay. Here they multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from bus_toolkit.config.openmmlab_nodes import LAYER_DECAY
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.signatures import did_you_mean

PLAIN, LAYER_WISE = "ComposedOptimWrapperConstructor", "ComposedLayerDecayOptimWrapperConstructor"
_KEYS = "optim_wrapper.paramwise_cfg.custom_keys"
_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_RULES = ("norm_decay_mult", "bias_decay_mult", "dwconv_decay_mult", "flat_decay_mult")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name=PLAIN)
class ComposedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Build the optimizer with a group for each parameter; the Runner puts it in the place of MMEngine's.

    ``lr_mult`` and ``decay_mult`` of the custom keys multiply with the rules for norms, biases, depth-wise convolutions
    and flat parameters (one number or a list of them), so what one rule sets to 0 stays 0. Of several keys that match a
    parameter, the longest one that gives a setting counts for it, as in MMEngine. A key names whole parts of a
    parameter's name (``queries``, ``backbone.vit``); a ``*`` is any characters of a part. ``no_decay`` lists
    such keys whose parameters do not decay, wherever a model has them. A weight that two parts share goes by its first
    name.

    Raises:
        ConfigError: A custom key that names no parameter, or a multiplier without a value to multiply.
    """

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **_: object) -> None:
        """Add the groups of all parameters of ``module`` to ``params``."""
        self._check_keys([name for name, _ in module.named_parameters(remove_duplicate=False)])
        seen: set[Tensor] = set()
        for path, part in module.named_modules():
            for own, parameter in part.named_parameters(path, recurse=False):
                is_repeated = parameter in seen and self.paramwise_cfg.get("bypass_duplicate", False)
                seen.add(parameter)
                if parameter.requires_grad and not is_repeated:
                    params.append({"params": [parameter], **self._settings(own, parameter, part)})

    def _settings(self, name: str, parameter: nn.Parameter, part: nn.Module) -> dict[str, Any]:
        """Return the settings of the group of a parameter."""
        settings = self._custom_settings(name)
        rate = settings.pop("lr_mult", 1.0) * self._rate_by_kind(name, part)
        decay = settings.pop("decay_mult", 1.0) * self._decay_by_kind(name, parameter, part)
        for key, base, factor in (("lr", self.base_lr, rate), ("weight_decay", self.base_wd, decay)):
            base = settings.get(key, base)
            if base is not None:
                settings[key] = base * factor
            elif factor != 1.0:
                raise ConfigError(
                    f"optim_wrapper.optimizer.{key}: paramwise_cfg multiplies it, got none. Give the optimizer a value."
                )
        return settings

    def _custom_settings(self, name: str) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        keys = self._custom_keys()
        for key in sorted(sorted(keys), key=len):  # the longest comes last and wins
            if names_part_of(key, name):
                settings |= keys[key]
        return settings

    def _rate_by_kind(self, name: str, part: nn.Module) -> float:
        is_bias = _is_bias(name) and not isinstance(part, _NORMS)
        return float(self._rule("bias_lr_mult")) if is_bias else 1.0

    def _decay_by_kind(self, name: str, parameter: nn.Parameter, part: nn.Module) -> float:
        if any(names_part_of(key, name) for key in self.paramwise_cfg.get("no_decay") or ()):
            return 0.0
        is_depthwise = isinstance(part, nn.Conv2d) and part.in_channels == part.groups
        kinds = (isinstance(part, _NORMS), _is_bias(name), is_depthwise, parameter.ndim <= 1)
        for rule, applies in zip(_RULES, kinds, strict=True):
            if applies and self.paramwise_cfg.get(rule) is not None:
                return float(self._rule(rule))
        return 1.0

    def _rule(self, name: str) -> float:
        value = self.paramwise_cfg.get(name)
        return 1.0 if value is None else value

    def _custom_keys(self) -> Mapping[str, Mapping[str, Any]]:
        return self.paramwise_cfg.get("custom_keys") or {}

    def _check_keys(self, names: list[str]) -> None:
        parts = sorted({part for name in names for part in name.split(".")})
        problems = [
            Problem(
                f"{_KEYS}.{key}",
                f"names no parameter of this model.{did_you_mean(key.rpartition('.')[2], parts)} A key names whole "
                "parts of a parameter's name; a * is any characters of a part. Correct it, or take it out "
                "(null).",
            )
            for key in self._custom_keys()
            if not any(names_part_of(key, name) for name in names)
        ]
        if problems:
            raise ConfigError(problems)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name=LAYER_WISE)
class ComposedLayerDecayOptimWrapperConstructor(ComposedOptimWrapperConstructor):
    """The same with rates that fall with the depth; the Runner puts it in the place of mmpretrain's.

    The rate of a parameter is ``layer_decay_rate`` to the power of its distance from the top, as ``get_layer_depth`` of
    the model counts it (arXiv 2106.08254, as in mmpretrain).
    """

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **_: object) -> None:
        """Add the groups of all parameters of ``module`` to ``params``.

        Raises:
            ConfigError: The model does not say how deep its parameters are.
        """
        if not hasattr(module, "get_layer_depth"):
            raise ConfigError(
                f"optim_wrapper.constructor: rates by depth need a model with get_layer_depth, got "
                f"{type(module).__name__}. Use VLPModel, or leave constructor and layer_decay_rate out."
            )
        self._depth: Callable[[str], tuple[int, int]] = module.get_layer_depth  # type: ignore[assignment]
        super().add_params(params, module, prefix)

    def _rate_by_kind(self, name: str, part: nn.Module) -> float:
        depth, count = self._depth(name)
        return float(self._rule("layer_decay_rate")) ** (count - depth - 1)


def own_constructor(name: object) -> str | None:
    """Return the constructor here that replaces the one named in a config; ``None`` for somebody else's."""
    if name is None:
        return PLAIN
    return LAYER_WISE if str(name).endswith(LAYER_DECAY) else None


@contextmanager
def shared_weights_refused(model: nn.Module, optim_wrapper: Any) -> Iterator[None]:
    """Explain torch's refusal of a weight that two parts share, while an optimizer with a group each is built.

    Raises:
        ConfigError: Parameter-wise settings that list such a weight twice.
    """
    try:
        yield
    except ValueError as error:
        settings = optim_wrapper.get("paramwise_cfg") if isinstance(optim_wrapper, Mapping) else None
        if not settings or settings.get("bypass_duplicate") or not _shares_weights(model):
            raise
        raise ConfigError(
            "optim_wrapper.paramwise_cfg.bypass_duplicate: must be true for a model in which two parts share a "
            "weight, got false. Set it to true."
        ) from error


def names_part_of(key: str, name: str) -> bool:
    """Return whether ``key`` names one or several neighbouring parts of the name of a parameter."""
    wanted, parts = key.strip(".").split("."), name.split(".")
    starts = range(len(parts) - len(wanted) + 1)
    return any(all(map(fnmatchcase, parts[start : start + len(wanted)], wanted)) for start in starts)


def describe_groups(groups: Sequence[Mapping[str, Any]], most: int = 8) -> str:
    """Return a table with a line for each pair of rate and decay; only the ``most`` with most parameters are shown."""
    counts: dict[tuple[Any, Any], list[int]] = {}
    for group in groups:
        row = counts.setdefault((group.get("initial_lr", group.get("lr")), group.get("weight_decay")), [0, 0])
        row[0] += len(group["params"])
        row[1] += sum(parameter.numel() for parameter in group["params"])
    lines = [f"{'tensors':>9} {'parameters':>14} {'rate':>10} {'decay':>8}"]
    ordered = sorted(counts.items(), key=lambda item: -item[1][1])
    for settings, (tensors, numbers) in ordered[:most]:
        rate, decay = ("-" if value is None else f"{value:.3g}" for value in settings)
        lines.append(f"{tensors:>9} {numbers:>14,} {rate:>10} {decay:>8}")
    return "\n".join([*lines, *([f"{len(ordered) - most:>9} more pairs"] if len(ordered) > most else [])])


def _is_bias(name: str) -> bool:
    own = name.rpartition(".")[2]
    return own == "bias" or own.endswith("_bias")


def _shares_weights(model: nn.Module) -> bool:
    """Return whether two modules hold the same parameter; torch refuses it in two groups of an optimizer."""
    listed = sum(len(module._parameters) for module in model.modules())
    return listed > len(list(model.parameters()))
