"""Turn generated scenes into a classification data set: which colour is the only small object?

``python registry_configs/_openmmlab_/label_scenes.py DATA_FOLDER`` writes ``colours.txt`` beside the images, one
``images/<name> <class>`` a line, as mmpretrain's ``CustomDataset`` reads it. Scenes without exactly one small object
are left out; large ones of other colours stay in the picture.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path


def label(folder: Path) -> int:
    """Write the labels of the scenes in ``folder`` and return how many there are."""
    (file,) = folder.glob("instances_*.json")
    instances = json.loads(file.read_text(encoding="utf-8"))
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    small = defaultdict(list)
    for item in instances["annotations"]:
        if item["attributes"]["size"] == "small":
            small[item["image_id"]].append(words["colour"].index(item["attributes"]["colour"]))
    lines = [f"images/{i['file_name']} {small[i['id']][0]}" for i in instances["images"] if len(small[i["id"]]) == 1]
    (folder / "colours.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Label generated scenes by the colour of their only small object.")
    parser.add_argument("folders", nargs="+", type=Path, help="folders that bus-toolkit scenes wrote")
    for path in parser.parse_args().folders:
        print(f"{path}: {label(path)} labelled scenes")
