"""The YAML of a benchmark: a model, images, a prompt, and the reductions to measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.config.files import plugins_of, read_chain
from bus_toolkit.config.merge import merge_chain
from bus_toolkit.config.overrides import Overrides, apply_overrides, parse_overrides
from bus_toolkit.config.reduction_file import reduction_problems
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.huggingface.loading import load_model
from bus_toolkit.plugin.manager import load_plugins
from bus_toolkit.signatures import check_arguments, signature_of
from bus_toolkit.vlm_benchmark.made_up_inputs import Size


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        model: Arguments of ``load_model``.
        arms: Arguments of ``reduce_tokens`` by name.
        image_sizes: Images of prompts, one after the other.
        prompt_length: Tokens of a prompt beside the visual ones.
    """

    model: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    image_sizes: tuple[Size, ...]
    prompt_length: int


def read_plan(path: str | Path, overrides: Overrides = ()) -> Plan:
    """Read the YAML of a benchmark and load the plugins that it names.

    Args:
        path: A file, or the name of one that ships (``_huggingface_/qwen2_5_vl_0.5b``).
        overrides: As of ``load_config``, such as ``arms.FastV.selectors.0.keep_ratio=0.5``.

    Raises:
        ConfigError: Anything wrong with it, all mistakes at once.
        PluginError: A plugin that it names cannot be used.
    """
    chain = list(read_chain(path))
    pairs = parse_overrides(overrides)
    load_plugins(plugins_of([*chain, *({"plugins": value} for key, value in pairs if key == "plugins")], path))
    content = {"plugins": [], "prompt_length": 64, **merge_chain(chain)}
    problems = apply_overrides(content, pairs)
    problems = problems or _problems(content)
    if problems:
        raise ConfigError(problems)
    sizes = tuple((size, size) if isinstance(size, int) else (size[0], size[1]) for size in content["image_sizes"])
    return Plan(content["model"], content["arms"], sizes, content["prompt_length"])


def _benchmark(
    *,
    plugins: Sequence[str],
    model: Mapping[str, Any],
    arms: Mapping[str, Mapping[str, Any]],
    image_sizes: Sequence[int | Sequence[int]],
    prompt_length: int,
) -> None:
    """Have the keys of the YAML as arguments, by which it is checked."""


def _problems(content: Mapping[str, Any]) -> list[Problem]:
    problems = check_arguments("a benchmark", signature_of(_benchmark), content, "")
    if problems:
        return problems
    problems = check_arguments("model", signature_of(load_model), content["model"], "model")
    for name, arm in content["arms"].items():
        problems += reduction_problems(arm, f"arms.{name}")
    for number, size in enumerate(content["image_sizes"]):
        good = isinstance(size, int) or len(size) == 2
        if not good or min([size] if isinstance(size, int) else size) < 1:
            text = f"must be pixels, or [height, width], got {size!r}. Write e.g. 448 or [448, 896]."
            problems.append(Problem(f"image_sizes.{number}", text))
    if not content["image_sizes"] or not content["arms"]:
        problems.append(Problem("image_sizes and arms", "need one entry at least each, got none. Add one."))
    if content["prompt_length"] < 4:
        text = (
            f"must be 4 or more, since words and the marks around an image are in it, got {content['prompt_length']}."
        )
        problems.append(Problem("prompt_length", f"{text} Write e.g. 64."))
    return problems
