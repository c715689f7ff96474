"""The two kinds of files: how one is written, and how what it holds is run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from bus_toolkit.errors import ConfigError
from bus_toolkit.export.image_side import ImageSide

Run = Callable[..., "list[Tensor]"]
# The name under which a file says what it holds.
KEY = "bus_toolkit"
# A protocol buffer holds 2 GiB; weights of more go into a file beside it.
MOST_IN_ONE_FILE = 1_900_000_000


def write_torch(program: ExportedProgram, side: ImageSide, about: dict[str, Any], path: Path) -> None:
    """Write a program of ``torch.export``; ``torch.export.load`` reads it."""
    for node in program.graph.nodes:
        # Lines of code and folders of the machine that it was made on.
        node.meta.pop("stack_trace", None)
    torch.export.save(program, path, extra_files={f"{KEY}.json": json.dumps(about)})


def load_torch(path: Path, threads: int) -> Run:
    """Return a function from inputs to outputs that runs a file of ``write_torch``."""
    module = torch.export.load(path).module()

    def run(*inputs: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return list(module(*inputs))

    return run


def write_onnx(program: ExportedProgram, side: ImageSide, about: dict[str, Any], path: Path) -> None:
    """Write an ONNX file, with ``<name>.data`` beside it where the weights are too many for one.

    Raises:
        ConfigError: An operation has no form in ONNX.
    """
    import onnx_ir

    from bus_toolkit.export.onnx_sort import TRANSLATIONS

    try:
        with _errors_only("onnxscript"):  # it warns of each fused projection that it does not fold
            converted: Any = torch.onnx.export(
                program,
                input_names=side.input_names,
                output_names=side.output_names[: len(program.graph_signature.user_outputs)],
                custom_translation_table=TRANSLATIONS,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ConfigError(
            f"export: --format onnx: {_cause(error)} Use --format torch-export, or export a model with another "
            "selector."
        ) from error
    model = converted.model
    for node in model.graph.all_nodes():
        # Lines of code and folders of the machine that it was made on.
        node.metadata_props.clear()
    _name_dimensions(model.graph)
    model.metadata_props[KEY] = json.dumps(about)
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    onnx_ir.save(model, path, external_data=f"{path.name}.data" if weights > MOST_IN_ONE_FILE else None)


def load_onnx(path: Path, threads: int) -> Run:
    """Return a function from inputs to outputs that runs an ONNX file in onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*inputs: Tensor) -> list[Tensor]:
        feeds = {name: given.numpy() for name, given in zip(names, inputs, strict=True)}
        return [torch.from_numpy(output) for output in session.run(None, feeds)]

    return run


def _name_dimensions(graph: Any) -> None:
    """Call the free sizes of the inputs ``batch`` and ``length`` wherever they are; the exporter numbers them."""
    import onnx_ir

    names: dict[Any, str] = {}
    for value in graph.inputs:  # (batch, length, ...), or (batch, ...) with a fixed size next
        for size, name in zip(value.shape, ("batch", "length"), strict=False):
            if isinstance(size, onnx_ir.SymbolicDim):
                names[size.value] = name
    values = [*graph.inputs, *(output for node in graph.all_nodes() for output in node.outputs)]
    for value in (value for value in values if value.shape is not None):
        sizes = [names.get(getattr(size, "value", None), size) for size in value.shape]
        value.shape = onnx_ir.Shape(sizes)


@contextmanager
def _errors_only(name: str) -> Iterator[None]:
    """Keep warnings of a package out of the log as long as the ``with`` lasts."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _cause(error: BaseException) -> str:
    """Return the message of the innermost cause, which names the operation."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
