"""Check a public data set as downloaded, and convert it once into the files that we read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.data.preparation.check_files import check_downloads
from bus_toolkit.data.preparation.counts import check_counts
from bus_toolkit.data.preparation.prepared_folder import prepare_folder
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe
from bus_toolkit.data.preparation.report import print_counts


def prepare_data_set(
    recipe: Recipe,
    root: Path,
    out: Path,
    options: Mapping[str, str],
    *,
    skip_images: bool = False,
    any_count: bool = False,
    force: bool = False,
) -> None:
    """Check a data set, convert it once, and print counts and settings.

    Args:
        recipe: The data set.
        root: Its folder as downloaded.
        out: The folder to write.
        options: What was chosen, by the names that the recipe's plan takes.
        skip_images: Do not ask for the images.
        any_count: Warn instead of failing when a count differs from the published one.
        force: Overwrite what is there.

    Raises:
        DataError: Files are missing or malformed, a count is not the published one, or the result cannot be written.
    """
    plan = recipe.plan(options)
    source = Download(recipe.name, root, skip_images=skip_images)
    warnings: list[str] = []

    def fill(scratch: Path) -> Mapping[str, Any]:
        counts = dict(plan.convert(source, scratch))
        # Before the folder gets its name: a conversion that fails the check leaves nothing.
        warnings.extend(check_counts(recipe.name, plan.counts, counts, strict=not any_count))
        _link(plan, source, scratch)
        return counts

    stamps = check_downloads(recipe, source, plan.files)
    made_from = {"data_set": recipe.name, "version": recipe.version, "root": str(root.resolve()), "files": stamps}
    made_from |= {"options": dict(options), "skip_images": skip_images}
    manifest, is_new = prepare_folder(out, made_from, fill, force=force)
    if not is_new:
        warnings = check_counts(recipe.name, plan.counts, manifest["counts"], strict=not any_count)
    print_counts(out, manifest["counts"], is_new, warnings)
    for line in plan.usage:
        print(f"  {line.format(out=out)}")


def _link(plan: Conversion, source: Download, folder: Path) -> None:
    """Link to the originals that are used unchanged, so that one folder has all files."""
    for name, target in plan.links.items():
        if source.has(target):
            (folder / name).symlink_to(source.path(target).resolve())
