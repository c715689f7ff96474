"""mmpretrain imports beside transformers 5 as beside 4, and nothing that transformers has is touched."""

import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from transformers import PretrainedConfig, modeling_utils, pytorch_utils

from bus_toolkit.errors import ComponentError
from bus_toolkit.mmpretrain_shim import put_back_names, require_transformers_4, watch_for_mmpretrain

NAMES = ((pytorch_utils, "find_pruneable_heads_and_indices"), (modeling_utils, "PretrainedConfig"))


def test_names_that_are_gone_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in NAMES:
        monkeypatch.setattr(module, name, None, raising=False)  # so that it is as before after the test
        monkeypatch.delattr(module, name)
    put_back_names()
    assert modeling_utils.PretrainedConfig is PretrainedConfig
    with pytest.raises(ComponentError, match=r"prune_heads: mmpretrain's BERT .* beside transformers 4 only. Install"):
        pytorch_utils.find_pruneable_heads_and_indices([0], 2, 4, set())


def test_names_that_are_there_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in NAMES:
        monkeypatch.setattr(module, name, "the library's own", raising=False)
    put_back_names()
    assert all(getattr(module, name) == "the library's own" for module, name in NAMES)


def test_models_around_mmpretrains_bert_are_refused_beside_transformers_5(monkeypatch: pytest.MonkeyPatch) -> None:
    from bus_toolkit.analysis.benchmark.blip import blip_retrieval
    from bus_toolkit.openmmlab.blip import TextAwareBlipCaption
    from bus_toolkit.openmmlab.blip_retrieval import TextAwareBlipRetrieval
    from bus_toolkit.openmmlab.decoder import XBertLMHeadDecoder

    monkeypatch.setattr(transformers, "__version__", "4.57.6")
    require_transformers_4("model")
    monkeypatch.setattr(transformers, "__version__", "5.24.0")
    for build in (TextAwareBlipCaption, TextAwareBlipRetrieval, XBertLMHeadDecoder, lambda: blip_retrieval(32, 4)):
        with pytest.raises(ComponentError, match=r"^\w.*: mmpretrain's models .* got 5\.24\.0\. Run: pip install '"):
            build()


def test_a_second_call_watches_no_second_time() -> None:
    before = list(sys.meta_path)
    watch_for_mmpretrain()
    assert sys.meta_path == before


@pytest.mark.slow
def test_whoever_imports_the_package_can_import_mmpretrains_models() -> None:
    code = "import bus_toolkit, mmpretrain.models as m; m.VisionTransformer; m.BlipCaption"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=Path(__file__).parents[1])
