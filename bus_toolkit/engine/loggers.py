"""The optional packages that MMEngine's loggers and traces need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from mmengine.config import Config

from bus_toolkit.errors import ConfigError

_PACKAGES: Mapping[str, str] = {
    "TensorboardVisBackend": "tensorboard",
    "WandbVisBackend": "wandb",
    "MLflowVisBackend": "mlflow",
    "ClearMLVisBackend": "clearml",
    "NeptuneVisBackend": "neptune",
    "DVCLiveVisBackend": "dvclive",
    "AimVisBackend": "aim",
    "tb_trace": "torch_tb_profiler",
}


def check_loggers(cfg: Config) -> None:
    """Refuse loggers and traces whose package is not installed; MMEngine would fail only after the model is built.

    Raises:
        ConfigError: One or more are missing.
    """
    problems = [
        f"{path}.type: {name} needs the package {_PACKAGES[name]}, which is not installed. Run: "
        f"pip install {_PACKAGES[name].replace('_', '-')}, or remove this entry."
        for path, name in _named(cfg)
        if name in _PACKAGES and find_spec(_PACKAGES[name]) is None
    ]
    if problems:
        raise ConfigError(problems)


def _named(cfg: Config) -> Iterator[tuple[str, str]]:
    """Yield path and type of every visualizer backend and every form of trace."""
    for index, backend in enumerate((cfg.get("visualizer") or {}).get("vis_backends") or ()):
        yield f"visualizer.vis_backends.{index}", str(backend.get("type")).removeprefix("mmengine.")
    for index, hook in enumerate(cfg.get("custom_hooks") or ()):
        if isinstance(hook.get("on_trace_ready"), Mapping):
            yield f"custom_hooks.{index}.on_trace_ready", str(hook["on_trace_ready"].get("type"))
