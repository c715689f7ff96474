"""Models that are timed in turns hold one set of weights: speed does not depend on their numbers."""

from __future__ import annotations

from torch import Tensor, nn


def share_weights(model: nn.Module, owner: nn.Module) -> int:
    """Let ``model`` use the parameters and buffers of ``owner`` wherever both have one of the same name and kind.

    So a group of models takes the memory of one, and of what the others have beside it.

    Args:
        model: Changed in place.
        owner: A model of other parts; its training changes the shared weights of both.

    Returns:
        Bytes that ``model`` no longer holds.
    """
    owned = dict(owner.named_parameters(remove_duplicate=False)) | dict(owner.named_buffers(remove_duplicate=False))
    shared: dict[int, int] = {}
    for path, module in model.named_modules():
        for tensors in (module._parameters, module._buffers):
            for name, own in tensors.items():
                other = owned.get(f"{path}.{name}" if path else name)
                if own is not None and other is not None and _kind(own) == _kind(other):
                    shared[id(own)] = own.nbytes
                    tensors[name] = other
    return sum(shared.values())


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad, type(tensor)
