"""Show the things a run would use: a resolved config, the registered parts, the plugins, which parts train together."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of each view."""
    subjects = parser.add_subparsers(dest="subject", required=True)
    config = subjects.add_parser("config", help="the resolved YAML of a config, checked")
    config.add_argument("config", help="the YAML of a run, or a name such as bus/bus_scenes_tiny")
    add_cfg_options(config, "overrides, e.g. model.decoder.type=Identity")
    parts = subjects.add_parser("parts", help="every registered part: arguments, contract, origin")
    parts.add_argument(
        "name", nargs="?", default="", help="only this kind, e.g. selectors or hook; or one part, e.g. TSPS, in full"
    )
    plugins = subjects.add_parser("plugins", help="every installed plugin: status, components, traceback")
    plugins.add_argument("name", nargs="?", default="", help="only this plugin")
    matrix = subjects.add_parser(
        "matrix", help="every combination of parts, trained for two tiny steps: minutes, more with each plugin"
    )
    for subject in (config, parts, plugins, matrix):
        add_debug_flag(subject)


def run(args: argparse.Namespace) -> None:
    """Show the view that the arguments name."""
    load_openmmlab()
    from bus_toolkit.cli import describe_parts, describe_tables

    if args.subject == "config":
        describe_tables.show_config(args.config, args.cfg_options)
    elif args.subject == "parts":
        describe_parts.show_parts(args.name)
    elif args.subject == "plugins":
        describe_tables.show_plugins(args.name)
    else:
        describe_tables.show_matrix()


COMMAND = Command("Show configs, registered parts and plugins.", add_arguments, run)
