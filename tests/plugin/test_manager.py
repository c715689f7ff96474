import logging
import re
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bus_toolkit import hookimpl
from bus_toolkit.errors import PluginError
from bus_toolkit.models import ConditioningMode, register_mode
from bus_toolkit.models.conditioning import mode_problems
from bus_toolkit.plugin import conflicts, manager, spec
from bus_toolkit.plugin.conflicts import conflicting_builds
from bus_toolkit.plugin.manager import BUILTINS, PluginLoader
from bus_toolkit.registry import HOOKS, new_registries


class First:
    pass


class Second:
    pass


def _module(name, **hooks):
    module = types.ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def _registers(*classes, name=None):
    def register_components(registries):
        for cls in classes:
            registries.selectors.register(cls, name=name)

    return register_components


@pytest.fixture
def start():
    """Return a function that loads the given modules as plugins beside one built-in selector, `First`."""
    names = []

    def load(*modules, environ=None, required=()):
        for module in modules:
            sys.modules[module.__name__] = module
            names.append(module.__name__)
        entries = [EntryPoint(m.__name__, m.__name__, "bus_toolkit") for m in modules]
        builtins = _module("builtin_parts", register_components=_registers(First))
        loader = PluginLoader(new_registries(), lambda: entries, environ or {}, builtins)
        loader.load(required)
        return loader

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_a_plugin_registers_like_the_builtins_and_is_noted(start):
    loader = start(_module("fine", register_components=_registers(Second)))
    assert loader.registries.selectors.names() == ["First", "Second"]
    assert loader.records["fine"].status == "loaded"
    assert loader.records["fine"].components == ["patch selector Second"]
    assert loader.registries.selectors.get("Second").origin.startswith("plugin fine, ")
    assert "patch selector First" in loader.records[BUILTINS].components


def test_loading_again_changes_nothing(start):
    loader = start(_module("fine", register_components=_registers(Second)))
    assert loader.load() is loader.load()
    assert loader.registries.selectors.names() == ["First", "Second"]


def test_a_failure_is_undone_reported_and_stops_only_runs_that_name_it(start):
    def register_components(registries):
        registries.selectors.register(Second)
        HOOKS.register_module(name="HookOfBroken", module=Second)
        register_mode("mode_of_broken", ConditioningMode())
        raise RuntimeError("no luck")

    loader = start(
        _module("broken", register_components=register_components), _module("fine", adjust_config=lambda: None)
    )
    record = loader.records["broken"]
    assert record.status == "failed" and "RuntimeError: no luck" in record.error and "Traceback" in record.error
    assert loader.registries.selectors.names() == ["First"]
    assert "HookOfBroken" not in HOOKS.module_dict
    assert mode_problems({"mode": "mode_of_broken"}, "model.conditioning")
    assert not mode_problems({"mode": "strict"}, "model.conditioning")
    assert loader.records["fine"].status == "loaded"
    with pytest.raises(PluginError, match=r"plugins: 'broken' .* failed to load: RuntimeError: no luck\. .*describe"):
        loader.load(["broken"])


def test_a_module_that_cannot_be_imported_is_reported():
    loader = PluginLoader(
        new_registries(),
        lambda: [EntryPoint("gone", "no_such_module", "bus_toolkit")],
        {},
        _module("b", register_components=_registers()),
    )
    loader.load()
    assert "No module named 'no_such_module'" in loader.records["gone"].error


def test_a_misspelt_hook_is_that_plugins_error(start):
    loader = start(_module("typo", register_component=lambda: None), _module("fine", adjust_config=lambda: None))
    assert loader.records["typo"].status == "failed"
    assert "unknown hook 'register_component'. Did you mean 'register_components'?" in loader.records["typo"].error
    assert loader.records["fine"].status == "loaded"


def test_a_wrong_argument_name_is_that_plugins_error(start):
    loader = start(_module("wrong", adjust_config=lambda cfg: None))
    assert "Argument(s) {'cfg'} are declared in the hookimpl but can not be found" in loader.records["wrong"].error


def test_a_module_without_hooks_is_an_error(start):
    loader = start(_module("empty"))
    assert "empty implements no hook. Mark a function with @bus_toolkit.hookimpl." in loader.records["empty"].error


def test_a_taken_name_is_refused_with_both_origins(start):
    loader = start(_module("thief", register_components=_registers(Second, name="First")))
    error = loader.records["thief"].error
    assert "the name 'First' is taken by bus_toolkit, " in error and "another from plugin thief, " in error
    assert loader.registries.selectors.get("First").cls is First


def test_a_plugin_that_is_not_installed_says_how_to_install_it(start):
    with pytest.raises(PluginError) as caught:
        start(required=["bus_selector_saliency", "elsewhere"])
    assert str(caught.value).splitlines() == [
        "plugins: plugin 'bus_selector_saliency' is not installed. Run: pip install -e plugins/bus_selector_saliency.",
        "plugins: plugin 'elsewhere' is not installed. Install the package that brings it, or correct the name.",
    ]


def test_the_environment_chooses(start):
    modules = [_module("one", adjust_config=lambda: None), _module("two", adjust_config=lambda: None)]
    loader = start(*modules, environ={"BUS_PLUGINS": "two"})
    assert (loader.records["one"].status, loader.records["two"].status) == ("off", "loaded")
    with pytest.raises(PluginError, match="'one' is switched off by BUS_PLUGINS=two"):
        loader.load(["one"])
    assert start(*modules, environ={"BUS_PLUGINS": ""}).records["two"].status == "off"
    with pytest.raises(PluginError, match="^BUS_PLUGINS: plugin 'three' is not installed.*or unset BUS_PLUGINS"):
        start(*modules, environ={"BUS_PLUGINS": "three"})


def test_a_name_in_the_environment_that_nothing_has_is_reported_without_a_run():
    builtins = _module("builtin_parts", register_components=_registers(First))
    loader = PluginLoader(new_registries(), lambda: [], {"BUS_PLUGINS": "three"}, builtins)
    assert [str(problem).split(".")[0] for problem in loader.missing()] == [
        "BUS_PLUGINS: plugin 'three' is not installed"
    ]


def test_adjust_config_changes_a_copy(start):
    def adjust_config(config):
        config["work_dir"] = "elsewhere"

    config = {"work_dir": "here"}
    assert start(_module("mover", adjust_config=adjust_config)).adjust(config) == {"work_dir": "elsewhere"}
    assert config == {"work_dir": "here"}


def test_runner_hooks_are_added_once(start):
    loader = start(_module("hooker", runner_hooks=lambda config: [{"type": "Timer"}]))
    once = loader.adjust({"custom_hooks": [{"type": "Other"}]})
    assert once == {"custom_hooks": [{"type": "Other"}, {"type": "Timer"}]}
    assert loader.adjust(once) == once


def test_a_plugin_that_fails_on_a_config_is_left_out_unless_named(start, caplog):
    def adjust_config(config):
        config["half"] = "done"
        raise KeyError("model")

    loader = start(_module("clumsy", adjust_config=adjust_config))
    with caplog.at_level(logging.WARNING):
        assert loader.adjust({}) == {}
    assert "Plugin 'clumsy' fails on this config" in caplog.text
    assert "KeyError" in loader.records["clumsy"].error
    again = start(_module("clumsy", adjust_config=adjust_config))
    with pytest.raises(PluginError, match="plugins: 'clumsy' fails on this config"):
        again.adjust({}, ["clumsy"])


def test_config_folders_are_asked_of_one_plugin(start, monkeypatch):
    loader = start(
        _module("brings", config_folders=lambda: [Path("a")]), _module("other", config_folders=lambda: [Path("b")])
    )
    monkeypatch.setattr(manager, "_LOADER", loader)
    assert manager.plugin_config_folders("brings") == [Path("a")]


def test_original_distributions_are_detected(monkeypatch):
    class Fake:
        def __init__(self, name):
            self.metadata = {"Name": name}

    monkeypatch.setattr(conflicts, "distributions", lambda: [Fake("onedl-mmengine"), Fake("torch")])
    assert conflicting_builds() == ""
    monkeypatch.setattr(conflicts, "distributions", lambda: [Fake("onedl-mmengine"), Fake("MMEngine")])
    assert "pip uninstall -y mmengine &&" in conflicting_builds()


def test_every_hook_is_documented_with_its_arguments():
    text = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()
    headings = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    specs = {n: f for n, f in vars(spec).items() if hasattr(f, "bus_toolkit_spec")}
    assert specs and headings == {
        f"{n}({', '.join(f.__code__.co_varnames[: f.__code__.co_argcount])})" for n, f in specs.items()
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad setup\n\n  details:\n    - x\n"), r"ValueError: bad setup\."),
        (SystemExit("please log in first"), r"SystemExit: please log in first\."),
        (AssertionError(), r"AssertionError\."),
        (
            SyntaxError("invalid syntax", ("part.py", 3, 1, "def f(:")),
            r"SyntaxError: invalid syntax \(part.py, line 3\)\.",
        ),
    ],
)
def test_the_reason_of_a_failure_is_its_first_line(start, error, reason):
    def register_components(registries):
        raise error

    loader = start(_module("broken", register_components=register_components))
    with pytest.raises(PluginError, match=rf"failed to load: {reason} `bus-toolkit describe"):
        loader.load(["broken"])


def test_what_a_plugin_prints_is_no_output_of_the_command(start, capsys):
    def register_components(registries):
        print("hello")

    start(_module("chatty", register_components=register_components))
    assert capsys.readouterr() == ("", "hello\n")


def test_a_plugin_during_which_a_run_is_interrupted_is_named(start, caplog):
    def register_components(registries):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(_module("slow", register_components=register_components)).load()
    assert "Interrupted while plugin 'slow'" in caplog.text
