"""The command line that the preparations of public data sets share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.data.preparation.check_files import check_files
from bus_toolkit.data.preparation.counts import check_counts
from bus_toolkit.data.preparation.prepared_folder import prepare_folder
from bus_toolkit.data.preparation.recipe import Plan, Recipe, Source
from bus_toolkit.data.preparation.report import print_counts


def prepare_command(recipe: Recipe, argv: Sequence[str] | None = None) -> None:
    """Parse a command line for a data set, check it, convert it once, and tell counts and settings.

    Raises:
        DataError: Files are missing or malformed, a count is not the published one, or the result cannot be written.
    """
    args = _parse(recipe, argv)
    options = {option.name: getattr(args, option.name.replace("-", "_")) for option in recipe.options}
    root, out = Path(args.root).expanduser(), Path(args.out).expanduser()
    plan = recipe.plan(options)
    source = Source(recipe.name, root, skip_images=args.skip_images)
    told: list[str] = []

    def fill(scratch: Path) -> Mapping[str, Any]:
        counts = dict(plan.convert(source, scratch))
        # Before the folder gets its name: what fails the check is not left behind.
        told.extend(check_counts(recipe.name, plan.counts, counts, strict=not args.any_count))
        _link(plan, source, scratch)
        return counts

    stamps = check_files(recipe, source, plan.files)
    made_from = {"data_set": recipe.name, "version": recipe.version, "root": str(root.resolve()), "files": stamps}
    made_from |= {"options": options, "skip_images": args.skip_images}
    manifest, is_new = prepare_folder(out, made_from, fill, force=args.force)
    if not is_new:
        told = check_counts(recipe.name, plan.counts, manifest["counts"], strict=not args.any_count)
    print_counts(out, manifest["counts"], is_new, told)
    for line in plan.usage:
        print(f"  {line.format(out=out)}")


def _parse(recipe: Recipe, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Check {recipe.title} and bring it into the files that we read.")
    parser.add_argument("root", help=f"folder of {recipe.title} as downloaded; what lacks is named ({recipe.page})")
    parser.add_argument("--out", default=f"data/{recipe.name}", help=f"folder to write, default data/{recipe.name}")
    for option in recipe.options:
        parser.add_argument(f"--{option.name}", choices=option.choices, default=option.choices[0], help=option.help)
    parser.add_argument("--skip-images", action="store_true", help="do not ask for the images")
    parser.add_argument("--any-count", action="store_true", help="only tell where a count is not the published one")
    parser.add_argument("--force", action="store_true", help="write anew what is already there")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def _link(plan: Plan, source: Source, folder: Path) -> None:
    """Let the result point to what is read as it is, so that one folder has all."""
    for name, target in plan.links.items():
        if source.has(target):
            (folder / name).symlink_to(source.path(target).resolve())
