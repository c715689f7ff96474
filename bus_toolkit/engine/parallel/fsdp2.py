"""Fully sharded training (torch's ``fully_shard``): weights, gradients and moments spread over the ranks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from bus_toolkit.engine.parallel.sharding import entered_blocks, let_in, refuse_shared_weights, units_of
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import MODEL_WRAPPERS

Saving = Literal["whole", "shards"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# What torch says where a part of a unit runs outside of the unit's own forward pass.
_MIXED = "got mixed torch.Tensor and DTensor"


@MODEL_WRAPPERS.register_module()
class FSDP2(nn.Module):
    """Spread a model over the ranks; goes into ``model_wrapper_cfg``.

    It holds the bare model as any wrapper of MMEngine does. The model is built, initialised, and loaded or resumed
    whole on each rank, as without the wrapper; then :meth:`shard` spreads it and the state of the optimizers. So
    weights are mapped, checked and refused by the same code, and a checkpoint may come from any number of processes.
    The price is that each rank holds the whole model, without gradients, for that moment.

    An evaluation gathers all weights once before it and spreads them again after it: ranks may do different work in it.

    Args:
        module: The bare model.
        units: Names of the modules that are gathered one by one, as in ``activation_checkpointing``; ``None`` for the
            blocks of the backbone and the other parts of a ``VLPModel`` and of its momentum copies.
        param_dtype: In which weights are gathered: ``float32``, or ``bfloat16``, which needs
            ``optim_wrapper.type: AmpOptimWrapper`` (in other precisions some layers would get two kinds of numbers).
            Shards, moments and momentum copies stay in float32.
        reduce_dtype: In which gradients are averaged.
        reshard_after_forward: Whether the weights of a unit go after its forward pass and are gathered again for the
            backward pass; ``False`` costs their memory and saves a third of the exchange.
        checkpoints: ``whole``: rank 0 writes one file. ``shards``: each rank writes its part, and rank 0 the rest.

    Raises:
        ConfigError: A dtype or way of saving that is none.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        units: Sequence[str] | None = None,
        param_dtype: str = "float32",
        reduce_dtype: str = "float32",
        reshard_after_forward: bool = True,
        checkpoints: Saving = "whole",
    ) -> None:
        super().__init__()
        for name, value in (("param_dtype", param_dtype), ("reduce_dtype", reduce_dtype)):
            if value not in _DTYPES:
                raise ConfigError(f"model_wrapper_cfg.{name}: must be one of {', '.join(_DTYPES)}, got {value!r}.")
        if checkpoints not in ("whole", "shards"):
            raise ConfigError(f"model_wrapper_cfg.checkpoints: must be whole or shards, got {checkpoints!r}.")
        self.module = module
        self.units, self.checkpoints = units, checkpoints
        self.param_dtype, self.reduce_dtype = param_dtype, reduce_dtype
        self.reshard_after_forward = reshard_after_forward
        self.replicated: list[nn.Parameter] = []
        """Parameters that each rank holds: a single number cannot be spread. Their gradients are averaged here."""

    @property
    def is_sharded(self) -> bool:
        """Whether the model is spread."""
        return isinstance(self.module, FSDPModule)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take MMEngine's training step.

        Raises:
            ConfigError: A unit is run by its parts.
        """
        model: Any = self.module
        with optim_wrapper.optim_context(self):
            data = model.data_preprocessor(data, training=True)
            try:
                losses = model._run_forward(data, mode="loss")
            except RuntimeError as error:
                if _MIXED not in str(error):
                    raise
                raise ConfigError(
                    "model_wrapper_cfg.units: a part runs without the forward pass of its unit, which gathers its "
                    f"weights. Name the units without it. ({str(error).splitlines()[0][:200]})"
                ) from error
        total, logged = model.parse_losses(losses)
        optim_wrapper.update_params(total)
        return logged

    def val_step(self, data: Any) -> Any:
        """Return predictions."""
        return self.module.val_step(data)  # type: ignore[operator]

    def test_step(self, data: Any) -> Any:
        """Return predictions."""
        return self.module.test_step(data)  # type: ignore[operator]

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Keep gradients of accumulated batches whole on each rank, which costs the memory of all gradients."""
        root: Any = self.module
        root.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            root.set_requires_gradient_sync(True)

    def shard(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Spread the model and the state of its optimizers.

        Args:
            optimizers: They move parameters of the model; from now on the shards of these.

        Raises:
            ConfigError: ``units`` name nothing that runs, or two units share a weight.
        """
        model = self.module
        # A warning of outputs that are views, which nobody here changes in place: losses and weights are those of DDP.
        warnings.filterwarnings("ignore", r"FSDP2-wrapped module .* returned a view tensor")
        self.replicated = [parameter for parameter in model.parameters() if not parameter.dim()]
        device = next(model.parameters()).device.type
        settings: dict[str, Any] = {
            "mesh": init_device_mesh(device, (dist.get_world_size(),)),
            "mp_policy": self._policy(),
            "ignored_params": set(self.replicated),
        }
        whole = dict(model.named_parameters())
        units = units_of(model, self.units)
        refuse_shared_weights(model, units)
        for unit in units:
            fully_shard(unit, reshard_after_forward=self.reshard_after_forward, **settings)
        root: Any = fully_shard(model, **settings)
        for block in entered_blocks(model):
            if isinstance(block, FSDPModule):
                let_in(block)
        root._get_fsdp_state()._lazy_init()  # else the module that runs first would be taken for the root
        shards = {id(whole[name]): shard for name, shard in model.named_parameters()}
        for optimizer in optimizers:
            _move(optimizer, shards)

    def _policy(self) -> MixedPrecisionPolicy:
        weights, gradients = _DTYPES[self.param_dtype], _DTYPES[self.reduce_dtype]
        if weights is torch.float32:  # whatever the weights are in, and the gradients, if they are not to be shorter
            return MixedPrecisionPolicy(reduce_dtype=None if gradients is torch.float32 else gradients)
        return MixedPrecisionPolicy(weights, gradients)

    def gather(self) -> None:
        """Have all weights on each rank until :meth:`spread`; forward passes then exchange nothing."""
        for unit in self._units():
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()

    def spread(self) -> None:
        """Let go of what :meth:`gather` has gathered."""
        for unit in self._units():
            # Of the whole model it would be gathered again at once, for the backward pass.
            unit.set_reshard_after_forward(self.reshard_after_forward and unit is not self.module, recurse=False)
            unit.reshard()

    def _units(self) -> list[FSDPModule]:
        return [module for module in self.module.modules() if isinstance(module, FSDPModule)]

    def average_replicated(self) -> None:
        """Average the gradients of what each rank holds, once a step of the optimizer and before it is clipped.

        What was averaged before is the same on all ranks, so that a sum over accumulated batches is averaged rightly.
        One without a gradient on any rank, as that of a head which waits for its start, keeps none: a gradient of 0
        would let the optimizer count steps and decay it. Only where a rank has none is that asked, and waited for.
        """
        held = [p for p in self.replicated if p.requires_grad]
        if not held:
            return
        shares = [p.new_zeros(()) if p.grad is None else p.grad for p in held]
        has = [p.new_zeros(()) if p.grad is None else p.new_ones(()) for p in held]
        flat = torch.stack(shares + has)
        dist.all_reduce(flat)
        means, counts = (flat / dist.get_world_size()).chunk(2)
        is_anywhere = counts.tolist() if any(p.grad is None for p in held) else [1.0] * len(held)
        for parameter, mean, found in zip(held, means, is_anywhere, strict=True):
            if found:
                parameter.grad = mean if parameter.grad is None else parameter.grad.copy_(mean)


def _move(optimizer: torch.optim.Optimizer, shards: dict[int, nn.Parameter]) -> None:
    """Let an optimizer move shards in place of whole parameters, with their moments."""
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"]):
            shard = shards.get(id(parameter), parameter)
            group["params"][place] = shard
            held = optimizer.state.pop(parameter, None)
            if held is not None:
                optimizer.state[shard] = {name: _spread(value, shard) for name, value in held.items()}


def _spread(value: Any, shard: nn.Parameter) -> Any:
    """Return a value of an optimizer's state as its parameter is spread, if it has its shape."""
    if not isinstance(shard, DTensor) or not isinstance(value, Tensor) or value.shape != shard.shape:
        return value
    spread = distribute_tensor(value, shard.device_mesh, shard.placements, src_data_rank=None)
    own = spread.to_local().clone()  # else the part would keep all of it in memory
    return DTensor.from_local(
        own, shard.device_mesh, shard.placements, run_check=False, shape=value.shape, stride=value.stride()
    )
