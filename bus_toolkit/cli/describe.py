"""Show what a run would use: a resolved config, the registered parts, the plugins, which parts train together."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what there is to show."""
    subjects = parser.add_subparsers(dest="subject", required=True)
    config = subjects.add_parser("config", help="the resolved YAML of a config, checked")
    config.add_argument("config", help="the YAML of a run, or a name such as bus/bus_scenes_tiny")
    add_cfg_options(config, "overrides, e.g. model.decoder.type=Identity")
    parts = subjects.add_parser("parts", help="every registered part: arguments, contract, origin")
    parts.add_argument("kind", nargs="?", default="", help="only this kind, e.g. selectors or hook")
    plugins = subjects.add_parser("plugins", help="every installed plugin: status, components, traceback")
    matrix = subjects.add_parser("matrix", help="every combination of parts, trained for two tiny steps (a minute)")
    for subject in (config, parts, plugins, matrix):
        add_debug_flag(subject)


def run(args: argparse.Namespace) -> None:
    """Show what the arguments name."""
    from bus_toolkit.cli import describe_tables

    if args.subject == "config":
        describe_tables.show_config(args.config, args.cfg_options)
    elif args.subject == "parts":
        describe_tables.show_parts(args.kind)
    elif args.subject == "plugins":
        describe_tables.show_plugins()
    else:
        describe_tables.show_matrix()


COMMAND = Command("Show configs, registered parts and plugins.", add_arguments, run, loads_parts=True)
