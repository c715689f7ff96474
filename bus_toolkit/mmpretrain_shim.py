"""Two names of transformers 4 that onedl-mmpretrain 1.3.6 imports, put back beside transformers 5; and what 5 ends.

Without them ``import mmpretrain.models`` fails: ``mmpretrain/models/multimodal/{blip/language_model,ram/bert}.py``
import ``find_pruneable_heads_and_indices``, and ``ofa/ofa_modules.py`` imports ``PretrainedConfig`` from
``transformers.modeling_utils``. What the installed transformers has is left alone. mmpretrain's backbones, data sets
and heads then work; its copies of BERT call more of what 5 removed when they are built and run, and are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from typing_extensions import override

from bus_toolkit.errors import ComponentError


class _BeforeModels(MetaPathFinder):
    """Put the names back just before Python looks for ``mmpretrain.models``, whoever imports it; it finds nothing."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "mmpretrain.models":
            put_back_names()
        return None


def watch_for_mmpretrain() -> None:
    """Let the import of mmpretrain's models find what it needs; imports nothing itself, and works once a process."""
    if not any(isinstance(finder, _BeforeModels) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeModels())


def put_back_names() -> None:
    """Give transformers' modules the two names, where they have none."""
    from transformers import PretrainedConfig, modeling_utils, pytorch_utils

    modules: tuple[tuple[Any, str, Any], ...] = (
        (pytorch_utils, "find_pruneable_heads_and_indices", _no_pruning_of_heads),
        (modeling_utils, "PretrainedConfig", PretrainedConfig),
    )
    for module, name, value in modules:
        if not hasattr(module, name):
            setattr(module, name, value)


def require_transformers_4(what: str) -> None:
    """Refuse a part that is built around mmpretrain's copies of BERT beside transformers 5.

    Args:
        what: The part, as the start of the message.

    Raises:
        ComponentError: transformers is of version 5 or later.
    """
    import transformers

    if int(transformers.__version__.partition(".")[0]) >= 5:
        raise ComponentError(
            f"{what}: mmpretrain's models with a BERT of its own (BLIP, BLIP-2, MiniGPT-4) work beside transformers 4 "
            f"only, got {transformers.__version__}. Run: pip install 'transformers<5'"
        )


def _no_pruning_of_heads(*_: Any) -> NoReturn:
    """Refuse: nothing here calls it, and mmpretrain in ``prune_heads`` alone."""
    raise ComponentError(
        "prune_heads: mmpretrain's BERT layers can prune attention heads beside transformers 4 only. Install "
        "'transformers<5' to prune heads."
    )
