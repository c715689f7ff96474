"""The image side of a model to a file: traced, written, read back, compared and timed before it has its name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram

from bus_toolkit.analysis.benchmark.timing import take_turns
from bus_toolkit.errors import ConfigError, describe
from bus_toolkit.export.description import describe_image_side
from bus_toolkit.export.files import Run, load_onnx, load_torch, write_onnx, write_torch
from bus_toolkit.export.image_side import ImageSide, Shape
from bus_toolkit.export.tracing import trace, trace_image_side
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import dump_json
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.ops.eval_mode import in_eval_mode
from bus_toolkit.writing import put_in_place, write_whole, writing

TOLERANCE = 1e-4
# Batches that it is compared at: one, as many as none that was traced, and more; texts as short as they get, and long.
COMPARED = (Shape(1, 1), Shape(2, 5), Shape(5, 12))


class _Format(NamedTuple):
    write: Callable[[ExportedProgram, ImageSide, dict[str, Any], Path], None]
    load: Callable[[Path, int], Run]


FORMATS = {"onnx": _Format(write_onnx, load_onnx), "torch-export": _Format(write_torch, load_torch)}
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}


@dataclass(frozen=True)
class Measuring:
    """How the file is timed against the unpruned model in the same format.

    Attributes:
        rounds: How often; 0 does not.
        batch_size: Images.
        threads: Of the processor; ``None``: as many as torch takes.
        length: Words of a text.
    """

    rounds: int = 10
    batch_size: int = 1
    threads: int | None = None
    length: int = 20


def export_image_side(
    model: VLPModel,
    out: str | Path,
    *,
    kind: str = "onnx",
    without_text: bool = False,
    cfg: Any | None = None,
    measuring: Measuring | None = None,
) -> dict[str, Any]:
    """Write the image side of a model, with its reduction at the keep ratios of now, and return what was found.

    The file appears only if what was read back from it gives the model's own outputs to 1e-4, at other batch sizes
    than the traced one. The same findings are written beside it, as ``<out>.json``.

    Args:
        model: On the CPU, in float32; what is in training mode is exported in eval mode and left as it was.
        out: The file, ``.onnx`` or ``.pt2``.
        kind: ``onnx`` or ``torch-export``.
        without_text: Whether to export the pass without a text, by which features for retrieval and captions are made,
            of a model whose selectors read one.
        cfg: The config, of which a digest is kept.
        measuring: How it is timed.

    Returns:
        What the file says of itself (``description``), ``error`` by batch size, ``bytes``, and ``speed``: seconds of
        both, and how many times faster the pruned one is.

    Raises:
        ConfigError: A path or a format that there is not, a package that is missing, a model that cannot be exported,
            or outputs that differ.
    """
    target = expand_home(out)
    check_target(target, kind)
    weight = next(model.backbone.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        raise ConfigError(f"export: needs a model on the CPU in float32, got {describe(weight)} on {weight.device}.")
    with_text = model.encoders.reads_text and not without_text
    with in_eval_mode(model):
        return _exported(model, target, kind, with_text, cfg, measuring or Measuring())


def _exported(
    model: VLPModel, target: Path, kind: str, with_text: bool, cfg: Any | None, measuring: Measuring
) -> dict[str, Any]:
    """Do it, for a model in eval mode."""
    how = FORMATS[kind]
    side, program = trace_image_side(model, with_text=with_text)
    about = describe_image_side(model, side, cfg, _eager(side, Shape(2, 3)))
    with writing(target, "--out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.")
    with folder as name:
        made = Path(name, "made", target.name)
        made.parent.mkdir()
        how.write(program, side, about, made)
        threads = measuring.threads or torch.get_num_threads()
        run = how.load(made, threads)
        found = {"format": kind, **about, "error": _compare(side, run)}
        found["bytes"] = sum(path.stat().st_size for path in made.parent.iterdir())
        if measuring.rounds:
            found["speed"] = _measure(model, side, run, how, Path(name, f"unpruned{target.suffix}"), measuring, threads)
        with writing(target, "--out"):
            # Weights first: a model that has its name is whole.
            written = sorted(made.parent.iterdir(), key=lambda one: one == made)
            for path in written:
                put_in_place(path, target.parent / path.name)
            if len(written) == 1:
                target.with_name(f"{target.name}.data").unlink(missing_ok=True)  # weights of an earlier, larger model
            write_whole(f"{target}.json", dump_json(found, indent=2) + "\n")
    return found


def check_target(out: Path, kind: str) -> None:
    """Refuse a format or a path before anything is computed.

    Raises:
        ConfigError: An unknown format, another suffix, or a package that is not installed.
    """
    if kind not in FORMATS:
        raise ConfigError(f"--format: must be one of {', '.join(FORMATS)}, got {kind!r}.")
    if out.suffix != SUFFIXES[kind] or out.is_dir():
        raise ConfigError(f"--out: must be a file that ends in {SUFFIXES[kind]} for --format {kind}, got {out}.")
    if kind == "onnx":
        try:
            import onnx_ir  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"--format onnx: needs onnx, onnxscript and onnxruntime, and {error.name} is not installed. Write "
                "pip install 'bus_toolkit[onnx]', or use --format torch-export."
            ) from error


@torch.no_grad()
def _eager(side: ImageSide, shape: Shape) -> list[torch.Tensor]:
    return list(side(*side.made_up(shape, seed=shape.batch)))


def _compare(side: ImageSide, run: Run) -> dict[str, float]:
    """Return by batch size how far the outputs are from the model's own, relative to the largest if that is above 1.

    Raises:
        ConfigError: Too far, or other patches are kept.
    """
    errors = {}
    for shape in COMPARED:
        wanted, got = _eager(side, shape), run(*side.made_up(shape, seed=shape.batch))
        scale = max(1.0, float(wanted[0].abs().max()))
        error = float((got[0] - wanted[0]).abs().max()) / scale if got[0].shape == wanted[0].shape else float("inf")
        same = all(one.equal(other) for one, other in zip(got[1:], wanted[1:], strict=True))
        if not error <= TOLERANCE or not same:
            names = ", ".join(type(one).__name__ for one in side.backbone.selectors)
            raise ConfigError(
                f"export: model.selectors: outputs must equal the model's own to {TOLERANCE:g}, got a difference of "
                f"{error:.2g} with {shape.batch} images{'' if same else ', and other kept patches'} ({names}). "
                "A selector that draws random numbers, or does what tracing does not see, cannot be exported. Nothing "
                "was written."
            )
        errors[f"batch {shape.batch}"] = error
    return errors


def _measure(
    model: VLPModel, side: ImageSide, run: Run, how: _Format, path: Path, measuring: Measuring, threads: int
) -> dict[str, Any]:
    """Return the seconds of the file and of the unpruned model in the same format, in turns."""
    full = ImageSide(model, side.reads, prunes=False)
    how.write(trace(full), full, {}, path)
    whole = how.load(path, threads)
    inputs = side.made_up(Shape(measuring.batch_size, measuring.length))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runs = {"unpruned": lambda: whole(*inputs), "pruned": lambda: run(*inputs)}
        times = take_turns(runs, measuring.rounds, torch.device("cpu"), warm_up=2)
    finally:
        torch.set_num_threads(before)
    shares = [slow / fast for slow, fast in zip(times["unpruned"], times["pruned"], strict=True)]
    return {
        "batch_size": measuring.batch_size,
        "threads": threads,
        "rounds": measuring.rounds,
        "seconds": median(times["pruned"]),
        "seconds_unpruned": median(times["unpruned"]),
        "times_faster": median(shares),
    }
