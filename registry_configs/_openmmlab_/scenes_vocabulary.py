"""Write a vocabulary of the words in generated scenes, as BERT's tokenizers read it.

``python registry_configs/_openmmlab_/scenes_vocabulary.py DATA_FOLDER`` writes ``vocab.txt`` into the folder that
``bus-toolkit scenes`` wrote: the words of the captions and questions of its training scenes, in alphabetical order.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_vocabulary(folder: Path) -> int:
    """Write ``vocab.txt`` and return how many tokens it has; BLIP's tokenizer adds two."""
    texts = []
    for name, key, entry in (("captions", "annotations", "caption"), ("questions", "questions", "question")):
        files = sorted(folder.glob(f"train_*/{name}_train.json"))
        if not files:
            raise SystemExit(f"{folder}: must hold train_*/{name}_train.json. Run: bus-toolkit scenes {folder}")
        for file in files:
            texts += [item[entry] for item in json.loads(file.read_text(encoding="utf-8"))[key]]
    # BERT's tokenizers split words at hyphens.
    tokens = SPECIAL + sorted({token for text in texts for token in re.findall(r"\w+|[^\w\s]", text.lower())})
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return len(tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a vocabulary of the words in generated scenes.")
    parser.add_argument("folder", type=Path, help="folder that bus-toolkit scenes wrote")
    path = parser.parse_args().folder
    print(f"{path}/vocab.txt: {write_vocabulary(path)} tokens")
