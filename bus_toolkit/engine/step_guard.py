"""Steps of the optimizer that are left out where the loss or a gradient is not finite, without waiting for the device.

The loss is the first gradient: where it is not finite, the backward pass starts from NaN in place of 1. DDP averages
gradients, so all ranks see what one of them met, and decide alike; with accumulation, what one batch has met is left in
the sum. The norm of all gradients is then finite or not, and on the device:

* a fused optimizer gets it as ``found_inf``, as torch's ``GradScaler`` gives it, and changes nothing;
* on the CPU there is nothing to wait for: the gradients are taken away, and no optimizer changes a parameter without;
* any other optimizer on a GPU steps with gradients of 0. Parameters stay finite; moments and decay move them a little.
  That this is better than to wait for the device in every step is our choice; ``fused: true`` leaves the step out.

Where all is finite, the numbers are those without this to the last bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import Optimizer

from bus_toolkit.engine.batches import wrappers_of
from bus_toolkit.ops.shards import own_part, whole

# Whole numbers as wide as floating-point ones of so many bytes.
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class GuardedSteps(OptimWrapper):
    """What :func:`guard_steps` puts over the class of an optimizer wrapper.

    Attributes:
        loss_is_finite: Whether the losses of this rank since the last step were finite, bool (); ``None`` before the
            first.
        norm: Norm of all gradients at the last step, before they were clipped, float ().
        found: Whether the last step was left out, bool (); ``None`` if the latest batch made none.
    """

    def start_guard(self) -> None:
        """Listen to the optimizer."""
        self.loss_is_finite: Tensor | None = None
        self.norm: Tensor | None = None
        self.found: Tensor | None = None
        self.before_clipping: Callable[[], None] | None = None
        """Called before each step of the optimizer, with its gradients complete on this rank."""
        self.optimizer.register_step_pre_hook(self._before_step)

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Update the parameters."""
        self.found = None
        super().update_params(loss, *args, **kwargs)

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Start from 1 where the loss is finite, else from NaN."""
        finite = torch.isfinite(loss.detach()).all()
        self.loss_is_finite = finite if self.loss_is_finite is None else self.loss_is_finite & finite
        kwargs.setdefault("gradient", loss.detach() * 0 + 1)
        super().backward(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Step; loss scaling decides by itself, on the gradients that it has scaled."""
        self.norm = None
        if self.before_clipping is not None:
            self.before_clipping()
        super().step(**kwargs)
        if self.found is None:  # loss scaling has left it out
            self.found = torch.ones((), dtype=torch.bool)
        if hasattr(self.optimizer, "found_inf"):  # an optimizer that is not fused would refuse it
            del self.optimizer.found_inf

    def _clip_grad(self) -> None:
        """Clip as MMEngine does, which waits for the norm to log it."""
        with_gradient = [p for p in _parameters(self.optimizer) if p.requires_grad and p.grad is not None]
        if with_gradient:
            self.norm = whole(self.clip_func(with_gradient, **self.clip_grad_kwargs))

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.norm is None:
            self.norm = gradient_norm(optimizer)
        self.found = ~torch.isfinite(self.norm)
        _leave_out(optimizer, self.found)


def guard_steps(optim_wrapper: Any) -> None:
    """Let all optimizers of a training leave steps out, whatever their wrapper's class."""
    for wrapper in wrappers_of(optim_wrapper):
        if not isinstance(wrapper, GuardedSteps):
            kind = type(wrapper)
            wrapper.__class__ = type(f"Guarded{kind.__name__}", (GuardedSteps, kind), {"__doc__": kind.__doc__})
            wrapper.start_guard()


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """Return the norm of all gradients, float (), as they would be without loss scaling."""
    gradients = [p.grad for p in _parameters(optimizer) if p.grad is not None]
    norm = whole(nn.utils.get_total_norm([g.coalesce().values() if g.is_sparse else g for g in gradients]))
    scale = getattr(optimizer, "grad_scale", None)  # a fused optimizer divides by it itself
    return norm if scale is None else norm / scale


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _leave_out(optimizer: Optimizer, found: Tensor) -> None:
    """Let the optimizer leave out the step that comes next if ``found``, bool ()."""
    if found.device.type == "cpu":
        if bool(found):
            optimizer.zero_grad(set_to_none=True)
    elif getattr(optimizer, "_step_supports_amp_scaling", False):
        scaled = getattr(optimizer, "found_inf", None)
        optimizer.found_inf = found.float() if scaled is None else torch.maximum(scaled, found.to(scaled))  # type: ignore[attr-defined]
    else:
        _clear_if(found, [p.grad for p in _parameters(optimizer) if p.grad is not None])


def _clear_if(found: Tensor, gradients: list[Tensor]) -> None:
    """Make gradients 0 if ``found``, in a few operations for all of them.

    Their bits are multiplied as whole numbers: NaN times 0.0 would be NaN, and what is multiplied by 1 stays as it was.
    """
    bits: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
    for gradient in gradients:
        dense = gradient._values() if gradient.is_sparse else own_part(gradient)
        kind = _BITS[dense.element_size()]
        bits[kind].append(dense.view(kind))
    for kind, tensors in bits.items():
        torch._foreach_mul_(tensors, (~found).to(kind))
