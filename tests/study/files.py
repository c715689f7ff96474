"""Studies of two kinds whose configs are empty files: what only plans needs no more."""

from __future__ import annotations

from pathlib import Path

SYSTEMS = """
title: Two systems
systems: {BUS: bus, unpruned: albef}
seeds: [0, 1]
tasks:
  retrieval:
    config: "{system}_scenes_tiny.yaml"
    figures:
      R@1: {metric: [i2t, t2i]}
  vqa:
    config: "{system}_vqa.yaml"
    start: retrieval
    figures:
      accuracy: {metric: vqa/accuracy, baseline: vqa/prior, times: 100}
    note: Questions are templates.
"""
ARMS = """
title: Where the text helps
seeds: [0, 1]
reference: TSPS
keep: [0.25, 0.11]
steps: 800
validate: {every: 100, samples: 500}
starts:
  needles: {config: full.yaml, seeds: [0]}
tasks:
  attribute:
    config: full.yaml
    start: needles
    runs:
      - {}
      - {keep: [0.5], seeds: [0], arms: [TSPS, full]}
  race: {config: full.yaml, arms: [full, TSPS], keep: [0.11], seeds: [0], alone: true, wrong_text: false}
arms:
  full: {}
  TSPS: {selector: {type: TSPS, blocks: [1]}, wrong_text: true}
  oracle boxes: {selector: {type: OracleBoxes, blocks: [1]}, oracle: true}
"""


def write_systems(folder: Path) -> Path:
    """Write a study of two systems without keep ratios."""
    for name in ("bus_scenes_tiny", "albef_scenes_tiny", "bus_vqa", "albef_vqa"):
        (folder / f"{name}.yaml").write_text("{}\n")
    path = folder / "systems.yaml"
    path.write_text(SYSTEMS)
    return path


def write_arms(folder: Path) -> Path:
    """Write a study of arms at keep ratios."""
    (folder / "full.yaml").write_text("{}\n")
    path = folder / "arms.yaml"
    path.write_text(ARMS)
    return path
