"""What a wheel of the toolkit and one of a plugin hold, and that they work together without the repository.

Built as `python -m build` does, the source distribution first and the wheel from that alone, but in this environment:
nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from bus_toolkit.cli.catalogue import NAMES
from bus_toolkit.plugin.scaffold import new_plugin

ROOT = Path(__file__).parents[2]
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
FOLDERS = ("bus_toolkit", "registry_configs")
pytestmark = pytest.mark.slow


def run(*command, cwd, **environ):
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **environ}
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source, out):
    """Build a wheel of the distribution in ``source`` by way of its source distribution; return its path."""
    hook = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
    run("-c", hook.format("sdist"), str(out), cwd=source)
    archive = next(out.glob(f"{source.name}-*.tar.gz"))
    with tarfile.open(archive) as file:
        # Python has filters from 3.10.12 and 3.11.4 on; the archive is our own.
        file.extractall(out, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    run("-c", hook.format("wheel"), str(out), cwd=out / archive.name.removesuffix(".tar.gz"))
    return next(out.glob(f"{source.name}-*.whl"))


def held_by(wheel):
    """Return the names of a wheel's files without those that describe it."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheels of a clean copy of the toolkit and of a new plugin."""
    folder = tmp_path_factory.mktemp("wheels")
    source = folder / "bus_toolkit"
    source.mkdir()
    for name in BESIDE:
        shutil.copy(ROOT / name, source)
    shutil.copy(ROOT / "tools" / "manifest.in", source / "MANIFEST.in")  # as make dist
    (source / "tests").mkdir()
    (source / "tests" / "test_of_the_checkout.py").touch()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    plugin = new_plugin("my_selector", "selector", folder)
    (folder / "dist").mkdir()
    return build(source, folder / "dist"), build(plugin, folder / "dist")


@pytest.mark.slow
def test_the_toolkits_wheel_holds_all_of_the_package_and_all_yamls(wheels):
    wanted = {path for path in (ROOT / "bus_toolkit").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    configs = {path for path in (ROOT / "registry_configs").rglob("*") if path.suffix in (".yaml", ".yml", ".py")}
    assert {path.name for path in configs} >= {
        "model-index.yml",
        "metafile.yml",
        "bus_scenes_tiny.yaml",
        "runtime.yaml",
    }
    wanted = {str(path.relative_to(ROOT)) for path in wanted}
    assert held_by(wheels[0]) == wanted | {f"bus_toolkit/{path.relative_to(ROOT)}" for path in configs}


def test_the_source_distribution_holds_what_the_wheel_is_made_of_and_no_more(wheels):
    (archive,) = wheels[0].parent.glob("bus_toolkit-*.tar.gz")
    with tarfile.open(archive) as file:
        held = {name.partition("/")[2] for name in file.getnames() if file.getmember(name).isfile()}
    made = {name for name in held if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg", "MANIFEST.in"}
    of_wheel = {name.replace("bus_toolkit/registry_configs/", "registry_configs/") for name in held_by(wheels[0])}
    assert held == of_wheel | made | set(BESIDE)


def test_a_plugins_wheel_holds_its_module_its_configs_and_its_entry_point(wheels):
    file = zipfile.ZipFile(wheels[1])
    assert held_by(wheels[1]) == {"my_selector/__init__.py", "my_selector/configs/my_selector.yaml"}
    entry_points = next(name for name in file.namelist() if name.endswith(".dist-info/entry_points.txt"))
    assert file.read(entry_points).decode() == "[bus_toolkit]\nmy_selector = my_selector\n"


@pytest.mark.slow
def test_both_work_together_outside_of_the_repository(wheels, tmp_path):
    site, user = tmp_path / "site", tmp_path / "user"
    user.mkdir()
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    run(*pip, *map(str, wheels), cwd=user)
    path = {"PYTHONPATH": str(site)}
    probe = (
        "import bus_toolkit\nfrom bus_toolkit.engine import quiet_hosts\nquiet_hosts()\n"
        "print(bus_toolkit.__file__, bus_toolkit.load_config('bus/bus_scenes_tiny').filename)"
    )
    package, config = run("-c", probe, cwd=user, **path).split()
    assert package == str(site / "bus_toolkit" / "__init__.py")
    assert config == str(site / "bus_toolkit" / "registry_configs" / "bus" / "bus_scenes_tiny.yaml")
    (user / "run.yaml").write_text("_base_: [bus/bus_scenes_tiny, 'my_selector::my_selector.yaml']\n")
    shown = run("-m", "bus_toolkit", "describe", "config", "run.yaml", cwd=user, **path)
    assert "type: MySelector" in shown and "train_dataloader:" in shown
    script = str(site / "bin" / "bus-toolkit")
    assert run(script, "configs", cwd=user, **path) == run("-m", "bus_toolkit", "configs", cwd=user, **path)
    for name in NAMES:
        assert run(script, name, "--help", cwd=user, **path).startswith(f"usage: bus-toolkit {name} ")
