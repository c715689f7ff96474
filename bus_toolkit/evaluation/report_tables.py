"""The tables of a report: one for each task, with what no skill would reach beside each figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich import box
from rich.table import Table

Metrics = Mapping[str, float]


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD, show_edge=False
    )
    table.add_column(columns[0], min_width=25)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _retrieval(metrics: Metrics) -> Table | None:
    topk = sorted({int(key.rsplit("@", 1)[1]) for key in metrics if key.startswith(("i2t_R@", "rerank_i2t_R@"))})
    if not topk:
        return None
    images, texts = metrics.get("num_images", 0.0), metrics.get("num_texts", 0.0)
    size = f" ({images:.0f} images, {texts:.0f} captions)" if images else ""
    columns = [f"{way}\nR@{k}" for way in ("i2t", "t2i") for k in topk]
    table = _table(f"Retrieval, %{size}", "image features", *columns)
    stages = {
        "first stage: without text": "",
        "second stage: re-ranked": "rerank_",
        "under own caption (leaky)": "paired_",
    }
    for name, prefix in stages.items():
        keys = [f"{prefix}{way}_R@{k}" for way in ("i2t", "t2i") for k in topk]
        if any(key in metrics for key in keys):
            table.add_row(
                name, *(_percent(metrics.get(key)) for key in keys), style="dim" if prefix == "paired_" else ""
            )
    if images and texts:
        chance = [chance_recall(k, int(texts), max(1, round(texts / images))) for k in topk]
        table.add_row(
            "chance", *map(_percent, chance), *(_percent(chance_recall(k, int(images), 1)) for k in topk), style="dim"
        )
    return table


def chance_recall(k: int, candidates: int, right: int) -> float:
    """Return the probability that at least one of the ``right`` among all ``candidates`` is in a random k of them."""
    missed = 1.0
    for drawn in range(min(k, candidates)):
        missed *= max(0, candidates - right - drawn) / (candidates - drawn)
    return 1.0 - missed


def _patch_text(metrics: Metrics) -> Table | None:
    if not metrics:
        return None
    table = _table(
        "Patch-text AUC of the selector (chance 0.5)",
        "named patches against",
        "own caption",
        "another caption",
        "difference",
    )
    for name, key in (("all other patches", "auc"), ("patches of other objects", "auc_named")):
        own, other = metrics.get(key), metrics.get(f"{key}_shuffled")
        if own is not None or other is not None:
            difference = own - other if own is not None and other is not None else None
            table.add_row(name, _area(own), _area(other), "-" if difference is None else f"{difference:+.3f}")
    return table


def _itm(metrics: Metrics) -> Table | None:
    rows = {"caption of another image": "accuracy", "hardest caption": "hard_accuracy"}
    if not any(key in metrics for key in rows.values()):
        return None
    table = _table("Image-text matching, %", "own caption against", "accuracy", "chance")
    for name, key in rows.items():
        if key in metrics:
            table.add_row(name, _percent(metrics[key]), _percent(0.5))
    return table


def _mlm(metrics: Metrics) -> Table | None:
    if "accuracy" not in metrics:
        return None
    table = _table("Masked words, %", "kind of word", "accuracy", "chance")
    for key in metrics:
        if key.startswith("accuracy_"):
            kind = key.removeprefix("accuracy_")
            table.add_row(kind, _percent(metrics[key]), _percent(metrics.get(f"chance_{kind}")))
    table.add_row("all", _percent(metrics["accuracy"]), _percent(metrics.get("chance")), style="bold")
    return table


def _classification(metrics: Metrics) -> Table | None:
    if "accuracy" not in metrics:
        return None
    table = _table("Classification, %", "", "accuracy", "majority label")
    for key in metrics:
        if key.startswith("accuracy_"):
            kind = key.removeprefix("accuracy_")
            table.add_row(kind.replace("_", " "), _percent(metrics[key]), _percent(metrics.get(f"majority_{kind}")))
    table.add_row("all", _percent(metrics["accuracy"]), _percent(metrics.get("majority")))
    return table


def _caption(metrics: Metrics) -> Table | None:
    if "CIDEr_D" not in metrics:
        return None
    names = [*(f"BLEU_{order}" for order in range(1, 5)), "ROUGE_L", "CIDEr_D"]
    images, references = metrics.get("num_images", 0.0), metrics.get("num_references", 0.0)
    size = f" ({images:.0f} images, {references:.0f} references)" if images else ""
    table = _table(f"Captions, x 100{size}", "said of each image", *(name.replace("_", "\n") for name in names))
    table.add_row("what the model wrote", *(_percent(metrics.get(name)) for name in names))
    if "constant_CIDEr_D" in metrics:
        constant = [_percent(metrics.get(f"constant_{name}")) for name in names]
        table.add_row("the most frequent caption", *constant, style="dim")
    return table


def _vqa(metrics: Metrics) -> Table | None:
    if "accuracy" not in metrics:
        return None
    questions = metrics.get("num_questions", 0.0)
    size = f" ({questions:.0f} questions)" if questions else ""
    table = _table(f"Answers, %{size}", "", "accuracy", "by question\ntype alone")
    table.add_row("all", _percent(metrics["accuracy"]), _percent(metrics.get("by_question_type")), style="bold")
    for prefix in ("answer_", "question_"):
        for key in metrics:
            if key.startswith(prefix):
                kind = key.removeprefix(prefix).replace("_", " ")
                table.add_row(f"{prefix[:-1]} type: {kind}", _percent(metrics[key]), "")
    return table


def _grounding(metrics: Metrics) -> Table | None:
    if "accuracy" not in metrics:
        return None
    expressions = metrics.get("num_expressions", 0.0)
    size = f" ({expressions:.0f} expressions)" if expressions else ""
    table = _table(f"Grounding, %{size}", "box", "Acc@0.5", "mean IoU")
    table.add_row("predicted", _percent(metrics["accuracy"]), _percent(metrics.get("mean_iou")), style="bold")
    for name, key in (("of a random object", "random_object"), ("the best constant one", "constant_box")):
        table.add_row(name, _percent(metrics.get(key)), "", style="dim")
    return table


def _lost_by_downsampling(metrics: Metrics) -> Table | None:
    if not metrics:
        return None
    table = _table("Right at full size, wrong after downsampling, %", "of", "accuracy", "questions")
    for key, value in metrics.items():
        if f"{key}_questions" in metrics:
            table.add_row(key, _percent(value), f"{metrics[f'{key}_questions']:.0f}")
    return table


def other_table(metrics: Metrics) -> Table | None:
    """Return the figures that have no table of their own."""
    if not metrics:
        return None
    table = _table("Other", "metric", "value")
    for key, value in metrics.items():
        table.add_row(key, f"{value:.4g}")
    return table


TABLES: dict[str, Callable[[Metrics], Table | None]] = {
    "retrieval": _retrieval,
    "patch_text": _patch_text,
    "itm": _itm,
    "mlm": _mlm,
    "classification": _classification,
    "caption": _caption,
    "vqa": _vqa,
    "grounding": _grounding,
    "lost_by_downsampling": _lost_by_downsampling,
}
"""What makes the table of each task, from its metrics; ``None`` where it was not measured."""
