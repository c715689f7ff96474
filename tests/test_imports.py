"""Imports go one way, without circles, and OpenMMLab and transformers are known to few."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bus_toolkit"
PARTS = {
    "selectors",
    "backbones",
    "decoders",
    "priors",
    "text_encoders",
    "fusion",
    "text_decoders",
    "heads",
    "tokenizers",
}
# A module imports from lower layers and its own folder only; the commands put everything together.
LAYERS = [
    {
        "addresses",
        "declarations",
        "errors",
        "folder_locks",
        "signatures",
        "registry_loader",
        "shipped",
        "short_repr",
        "own_log",
        "quiet_import",
        "mmpretrain_shim",
        "tables",
        "draws",
        "json_text",
        "text_files",
        "blank_texts",
        "accents",
        "home",
        "runs_below",
        "limits",
        "safe_text",
        "console",
        "writing",
    },
    {"structures", "ops", "losses", "layers", "labels", "caption_scores"},
    {*PARTS, "step", "registry", "weights", "plugin", "huggingface"},
    {"models", "visualization"},
    {"data", "config"},
    {"analysis", "evaluation"},
    {"run_page"},
    {"engine"},
    {"inference", "export", "pretrained", "openmmlab", "testing", "vlm_benchmark", "bridges"},
    {"study", "doctor", "gpu_battery", "app"},
    {"cli"},
]
TOP = {"__init__", "__main__"}
OPENMMLAB = {"mmengine", "mmcv", "mmpretrain"}
MAY_USE_OPENMMLAB = {"registry", "quiet_import", "weights", "config", "models", "backbones", "data"} | {
    *("engine", "evaluation", "analysis", "inference", "openmmlab", "testing")
}
MAY_USE_TRANSFORMERS = {"text_encoders", "text_decoders", "backbones", "openmmlab", "mmpretrain_shim"} | {
    *("huggingface", "vlm_benchmark")
}
FILES = sorted(PACKAGE.rglob("*.py"))


def _folder(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _layer(folder):
    return next(i for i, layer in enumerate(LAYERS) if folder in layer)


def _imported(path):
    """Yield every module name that ``path`` imports: at the top, inside a function, or for type checking."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _module(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    folder = _folder(path)
    for name in _imported(path):
        parts = name.split(".")
        if parts[0] in OPENMMLAB:
            assert folder in MAY_USE_OPENMMLAB, f"{path} imports {name}"
        if parts[0] == "transformers":
            assert folder in MAY_USE_TRANSFORMERS, f"{path} imports {name}"
        if parts[0] != "bus_toolkit" or len(parts) == 1 or folder in TOP:
            continue
        assert parts[1] == folder or _layer(parts[1]) <= _layer(folder), f"{path} imports {name}"


def test_no_module_imports_itself_through_others():
    graph = {module: {name for name in _imported(path) if name in MODULES} for module, path in MODULES.items()}
    # What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    while True:
        imported = set().union(*graph.values())
        outside = [name for name, imports in graph.items() if not imports & graph.keys() or name not in imported]
        if not outside:
            break
        for name in outside:
            del graph[name]
        graph = {name: imports & graph.keys() for name, imports in graph.items()}
    assert sorted(graph) == []


def test_importing_the_package_loads_neither_torch_nor_openmmlab():
    libraries = sorted(OPENMMLAB | {"torch", "transformers"})
    code = f"import sys, bus_toolkit; print([name for name in {libraries} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"


def test_public_names_are_found():
    import bus_toolkit

    assert all(getattr(bus_toolkit, name) is not None for name in bus_toolkit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_confg'"):
        _ = bus_toolkit.load_confg


@pytest.mark.slow
def test_loading_a_config_and_building_its_model_prints_nothing_and_keeps_the_programs_own_warnings():
    code = (
        "import logging, warnings, bus_toolkit; before = list(logging.root.handlers), logging.root.level\n"
        "bus_toolkit.build_model(bus_toolkit.load_config('bus/bus_scenes_tiny'))\n"
        "print((logging.root.handlers, logging.root.level) == before); warnings.warn('of the program')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout == "True\n"
    (line,) = done.stderr.splitlines()
    assert line.endswith("UserWarning: of the program")
