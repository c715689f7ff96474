"""Which objects a pickled checkpoint may hold, and the message for one that holds others."""

from __future__ import annotations

import argparse
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging.history_buffer import HistoryBuffer


def safe_globals() -> list[Any]:
    """Return the classes and functions that are data alone.

    These are what the log history inside an MMEngine checkpoint needs, and the parsed command line that the training
    scripts of DeiT, MAE and their kin store beside the weights.
    """
    core = np._core if hasattr(np, "_core") else np.core
    dtypes = {
        type(np.dtype(kind)) for kind in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    }
    return [
        argparse.Namespace,
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        *dtypes,
        (_history_method, "builtins.getattr"),
    ]


def refusal(path: Path, error: Exception) -> str:
    """Return the message for a pickle that asks for more than data."""
    match = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"WeightsUnpickler error: (.+)", str(error))
    reason = f"it asks for {match.group(1)}" if match else "it holds more than data, or is no checkpoint of torch"
    return (
        f"{path}: not loaded, because reading it could run code ({reason}). Allowed are tensors, numbers, text and "
        "containers of these. Ask for it as .safetensors, or set trusted_checkpoints: true (convert_weights.py: "
        "--trust-checkpoint) if you trust its maker."
    )


def first_sentence(error: Exception) -> str:
    """Return the beginning of a library's message."""
    return first_line(error).split(". ")[0].rstrip(".")


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, or the kind of error if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _history_method(owner: object, name: str) -> Any:
    """Replace ``getattr``, by which a history refers to its own statistics; give nothing else away."""
    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"Unsupported global: GLOBAL builtins.getattr of {name!r}")
