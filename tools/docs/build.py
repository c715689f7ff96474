"""Build the pages of the Python interface and the Markdown pages: ``python tools/docs/build.py``, or ``make docs``.

The sources are put together in ``build/docs_source``, the pages appear in ``build/docs``; a warning is an error. Every
name that a package directly below ``bus_toolkit`` exports gets an entry, with its docstring.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = ("*.md", "bus_toolkit/*.md", "registry_configs/*.md", "tools/*.md", "plugins/*.md", "plugins/*/*.md")
SHOWN = ("tools/docs/*.png", "tools/docs/*.ipynb")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the sources, run Sphinx, return its exit code."""
    parser = argparse.ArgumentParser(description="Build the documentation into build/docs; warnings are errors.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs", help="folder of the pages")
    args = parser.parse_args(argv)
    source = args.out.with_name(f"{args.out.name}_source")
    shutil.rmtree(source, ignore_errors=True)
    write_sources(source)
    from sphinx.cmd.build import build_main

    code = build_main(["-b", "html", "-W", "--keep-going", "-q", str(source), str(args.out)])
    if code == 0:
        print(f"Open {args.out / 'index.html'}")
    return code


def write_sources(source: Path) -> None:
    """Write everything that Sphinx reads into an empty folder: settings, Markdown pages, pages of the interface."""
    source.mkdir(parents=True)
    shutil.copy(HERE / "conf.py", source)
    pages = sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})
    for path in (*pages, *(path for pattern in SHOWN for path in ROOT.glob(pattern))):
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    names = write_interface(source / "api")
    _write_index(source, [path.relative_to(ROOT).with_suffix("").as_posix() for path in pages], names)


def write_interface(folder: Path) -> list[str]:
    """Write a page for each public package; return their names."""
    import bus_toolkit

    folder.mkdir()
    packages = [name for name in dir(bus_toolkit) if name not in bus_toolkit.__all__]
    (folder / "bus_toolkit.rst").write_text(interface_page(bus_toolkit, public_names(bus_toolkit)))
    for name in packages:
        module = importlib.import_module(f"bus_toolkit.{name}")
        (folder / f"{name}.rst").write_text(interface_page(module, public_names(module)))
    return ["bus_toolkit", *packages]


def public_names(module: ModuleType) -> list[str]:
    """Return what a module exports; without ``__all__`` the classes and functions that it defines."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("__")]
    own = [(name, value) for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return [name for name, value in own if not name.startswith("_") and (inspect.isclass(value) or callable(value))]


def interface_page(module: ModuleType, names: Sequence[str]) -> str:
    """Return the page of a module in reStructuredText."""
    title = module.__name__
    parts = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    for name in names:
        value = getattr(module, name)
        # A name that comes from another package is indexed on the page of that one, so that a link has one target.
        is_own = "." in title and f"{getattr(value, '__module__', title)}.".startswith(f"{title}.")
        options = [] if is_own else ["   :no-index:"]
        if inspect.isclass(value):
            parts += [f".. autoclass:: {title}.{name}", "   :members:", "   :show-inheritance:", *options, ""]
        elif inspect.isroutine(value):
            parts += [f".. autofunction:: {title}.{name}", *options, ""]
        elif value.__doc__ == type(value).__doc__:  # a dict or an instance, without words of its own
            parts += [f".. py:data:: {title}.{name}", *options, ""]
        else:
            parts += [f".. autodata:: {title}.{name}", "   :no-value:", *options, ""]
    return "\n".join(parts)


def _write_index(source: Path, pages: Sequence[str], packages: Sequence[str]) -> None:
    """Write the contents; the README is the first page."""
    first = ["README", "bus_toolkit/README", "tools/README", "registry_configs/README", "plugins/README"]
    ordered = [*first, *(page for page in pages if page not in first)]
    lines = ["# bus_toolkit", ""]
    for caption, names in (("Pages", ordered), ("Python", [f"api/{name}" for name in packages])):
        lines += ["```{toctree}", ":maxdepth: 1", f":caption: {caption}", "", *names, "```", ""]
    (source / "index.md").write_text("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
