"""A tiny model of each family, built once."""

from __future__ import annotations

from functools import lru_cache

import pytest

from tests.huggingface.tiny import FAMILIES, Tiny, build

_shared = lru_cache(maxsize=None)(build)


@pytest.fixture(params=list(FAMILIES))
def tiny(request: pytest.FixtureRequest) -> Tiny:
    """Each family in turn; a test leaves the model in eval mode and without gradients."""
    return _shared(request.param)


@pytest.fixture(params=["llava", "qwen2_5_vl", "paligemma"])
def kind(request: pytest.FixtureRequest) -> Tiny:
    """One family for each kind of positions and masks: plain, in three axes, and a prefix that reads all of itself."""
    return _shared(request.param)


@pytest.fixture
def llava() -> Tiny:
    """LLaVA, for what does not depend on the family."""
    return _shared("llava")
