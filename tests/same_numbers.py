"""Show that a change moved no number: the losses of three steps and what a checkpoint holds, compared to the last bit.

    python -m tests.same_numbers before.json                       # before a change
    python -m tests.same_numbers after.json --against before.json  # after it: exit code 1 and a list of what differs

Each case is one training on 24 scenes through ``bus_toolkit.engine.train``: every tiny config and every config on
scenes as it ships, and one of them under each conditioning mode, each rule for passes without text, with each
registered selector and with a momentum branch. Compared are every logged figure but times and token counts, the
checkpoint's names, shapes and a hash of its tensors, and, for the configs as shipped, the metrics of an evaluation.
The numbers hold for one machine only, so they are not kept in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.data.preparation.openclipart import prepare_openclipart
from tests.data.preparation.tiny_clipart import drawings, package_members
from tests.data.preparation.tiny_deb import deb
from tests.engine.own_pairs import write_pairs

CONFIGS = Path(__file__).parents[1] / "registry_configs"
BASE = "bus/bus_scenes_tiny"
REFERENCE = "prior/reference_scenes_tiny"
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
TEXT_RULES = ("cls", "prompt", "none")
STRICT = ("model.conditioning.mode=strict", "model.heads.ptm.object_weight=0")
MODES = ("shared", "masked", "free_itc", "strict")
# What names a duration, or counts tokens of a pass: both may change without a number of the model changing.
NOT_COMPARED = ("time", "memory", "samples_per_second", "tokens", "eta")


def shipped() -> Iterator[tuple[str, str, list[str]]]:
    """Yield name, config and overrides of every tiny recipe, and of the larger ones on generated scenes."""
    for path in sorted({*CONFIGS.glob("*/*scenes*.yaml"), *CONFIGS.glob("*/*_tiny.yaml")}):
        name = f"{path.parent.name}/{path.stem}"
        if not path.parent.name.startswith("_"):
            yield name, name, ["load_from=null"]


def variants() -> Iterator[tuple[str, str, list[str]]]:
    """Yield the base recipe under each mode, each rule without text, each selector, and with momentum."""
    from bus_toolkit.registry import REGISTRIES
    from bus_toolkit.testing.matrix import tower_selectors

    for mode in MODES:
        yield f"mode {mode}", BASE, [f"model.conditioning.mode={mode}"]
        yield f"mode {mode}, momentum", BASE, [f"model.conditioning.mode={mode}", "model.momentum={decay: 0.9}"]
    for rule in TEXT_RULES:
        yield (
            f"without text {rule}",
            BASE,
            [*STRICT, f"model.conditioning.without_text={rule}"],
        )
    for name in tower_selectors():
        arguments = REGISTRIES.selectors.get(name).signature.arguments
        node = {"type": name} | {k: v for k, v in {"blocks": [3], "keep_ratio": 0.5}.items() if k in arguments}
        yield f"selector {name}", BASE, [f"model.selectors=[{json.dumps(node)}]"]


def three_steps(
    config: str, overrides: Sequence[str], scenes: Path, folder: Path, *, evaluated: bool
) -> dict[str, Any]:
    """Train three steps of 8 rows, all heads from the start; return what is compared."""
    import torch
    from mmengine.logging import MessageHub

    from bus_toolkit import load_config
    from bus_toolkit.engine import RunOptions, train

    overrides = [*overrides, *pairs_overrides(config, scenes.parent / "pairs")]
    loaded = load_config(config, overrides).to_dict()
    heads = loaded["model"].get("heads") or {}
    cut = [
        *overrides,
        *clipart_overrides(config, scenes.parent / "clipart"),
        *scene_overrides({key: loaded[key] for key in LOADERS if loaded.get(key)}, scenes),
        "train_dataloader.batch_size=8",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        "train_cfg={type: IterBasedTrainLoop, max_iters: 3, val_interval: 3, _delete_: true}",
        "default_hooks.checkpoint.by_epoch=false",
        "default_hooks.checkpoint.interval=3",
        *(f"model.heads.{name}.start_epoch=0" for name in heads),
        *(
            f"model.heads.{name}.reference_weights={folder}/reference.pth"
            for name in heads
            if "reference" in heads[name]
        ),
    ]
    if any("reference" in head for head in heads.values()):
        shutil.copy(
            three_steps(REFERENCE, [], scenes, folder / "reference", evaluated=False)["file"], folder / "reference.pth"
        )
    train(config, cut, RunOptions(work_dir=str(folder), no_validate=not evaluated))
    scalars = MessageHub.get_current_instance().log_scalars
    state = torch.load(folder / "iter_3.pth", weights_only=False)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return {
        "figures": {
            name: [float(value).hex() for value in buffer.data[0]]
            for name, buffer in sorted(scalars.items())
            if not any(word in name for word in NOT_COMPARED)
        },
        "state": {name: list(value.shape) for name, value in state.items()},
        "hash": digest.hexdigest(),
        "file": str(folder / "iter_3.pth"),
    }


def pairs_overrides(config: str, folder: Path) -> Iterator[str]:
    """Yield overrides that give the recipe for own pairs some pairs."""
    if config.startswith("own_data/"):
        write_pairs(folder, count=28)
        yield f"settings.pairs={folder / 'pairs.csv'}"
        yield f"settings.images={folder / 'photos'}"


def clipart_overrides(config: str, folder: Path) -> Iterator[str]:
    """Yield overrides that give a recipe on Openclipart a few drawings made by hand."""
    if "openclipart" not in config:
        return
    if not folder.is_dir():
        folder.mkdir()
        for kind in ("svg", "png"):
            (folder / f"openclipart-{kind}_1_all.deb").write_bytes(deb(package_members(drawings(40), kind)))
        prepare_openclipart(folder, folder / "out", num_test=6, num_val=6)
    for split in ("train", "val", "test"):
        yield f"{split}_dataloader.dataset.shards={folder}/out/{split}/{split}-*.tar"


def scene_overrides(node: Any, scenes: Path, path: str = "") -> Iterator[str]:
    """Yield overrides that give every scene data set below ``node`` one folder and few images."""
    if isinstance(node, Mapping):
        if "data_root" in node and "num_images" in node:
            # A folder for each kind of scenes, so that no case writes over what another reads.
            kind = zlib.crc32(json.dumps(node.get("scenes", {}), sort_keys=True).encode())
            yield f"{path}.data_root={scenes / str(kind)}"
            yield f"{path}.num_images={24 if path.startswith('train') else 6}"
        for key, value in node.items():
            yield from scene_overrides(value, scenes, f"{path}.{key}" if path else key)


def run(only: str) -> dict[str, Any]:
    """Run every case whose name contains ``only``; a refused one is compared by its message's class."""
    import torch

    from bus_toolkit.errors import BusError

    torch.set_num_threads(1)  # sums in another order differ in the last bit
    cases = [*((*case, True) for case in shipped()), *((*case, False) for case in variants())]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for number, (name, config, overrides, evaluated) in enumerate(cases):
            if only not in name:
                continue
            begin = time.monotonic()
            try:
                results[name] = three_steps(config, overrides, root / "scenes", root / str(number), evaluated=evaluated)
                del results[name]["file"]
            except BusError as error:
                results[name] = {"refused": str(error)}
            print(f"{time.monotonic() - begin:5.1f} s  {name} {results[name].get('refused', '')}", file=sys.stderr)
    return results


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested mappings with its path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{path} / {key}" if path else key)
    else:
        yield path, node


def main() -> int:
    """Write the figures, compare them, return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="the JSON to write")
    parser.add_argument("--against", type=Path, help="an earlier JSON that must be equal")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    args = parser.parse_args()
    results = run(args.only)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    found = dict(leaves(results))
    print(f"{len(results)} cases, {len(found)} values")
    if args.against is None:
        return 0
    before = json.loads(args.against.read_text())
    for name in results.keys() - before.keys():
        print(f"new: {name}, compared with nothing")
    wanted = {k: v for k, v in leaves(before) if args.only in k.split(" / ")[0]}
    found = {k: v for k, v in found.items() if k.split(" / ")[0] in before}
    differ = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k) and "refused" not in k)
    for path in differ[:40]:
        print(f"differs: {path}: {wanted.get(path, 'absent')} -> {found.get(path, 'absent')}")
    print(f"{len(differ)} of {len(wanted)} values differ." if differ else f"All {len(wanted)} values are equal.")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
