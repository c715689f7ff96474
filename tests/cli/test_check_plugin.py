import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import bus_toolkit.plugin.manager as plugins
from bus_toolkit.cli.check_plugin import COMMAND
from bus_toolkit.errors import PluginError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that writes a module, and lets it be found as the plugin of that name beside the built-ins."""
    from bus_toolkit.plugin import builtin
    from bus_toolkit.registry import REGISTRIES

    kept = {registry.slot: dict(registry.entries) for registry in REGISTRIES.all()}
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def install(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        names.append(name)
        entries = [EntryPoint(name, name, "bus_toolkit")]
        monkeypatch.setattr(plugins, "_LOADER", plugins.PluginLoader(REGISTRIES, lambda: entries, {}, builtin))

    yield install
    for name in names:
        sys.modules.pop(name, None)
    for registry in REGISTRIES.all():
        registry.entries.clear()
        registry.entries.update(kept[registry.slot])


GOOD = """
import bus_toolkit
from bus_toolkit.selectors.base import PatchSelector

class Longest(PatchSelector):
    def score(self, view):
        return view.patches.norm(dim=-1)

@bus_toolkit.hookimpl
def register_components(registries):
    registries.selectors.register(Longest)
"""


def test_a_sound_plugin_passes(installed, capsys):
    installed("good_plugin", GOOD)
    assert COMMAND.main(["good_plugin"]) == 0
    assert capsys.readouterr().out == "patch selector Longest: passes\n"


def test_a_broken_part_is_named_with_its_fault(installed, capsys):
    installed("bad_plugin", GOOD.replace("view.patches.norm(dim=-1)", "view.patches.mul_(2.0).norm(dim=-1)"))
    assert COMMAND.main(["bad_plugin"]) == 1
    assert "Longest breaks" in (shown := capsys.readouterr().out)
    assert "patches_untouched: " in shown


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (GOOD.replace("def register_components", "def register_component"), "register_component"),
        (
            GOOD.replace("register(Longest)", "register(Longest, name='TSPS')"),
            "the name 'TSPS' is taken by bus_toolkit",
        ),
        (GOOD.replace("    registries.selectors.register(Longest)", "    pass"), "registers no part"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_reported_as_such(installed, source, message):
    installed("odd_plugin", source)
    with pytest.raises(PluginError, match=message):
        COMMAND.main(["odd_plugin"])
