"""Names of tensors in the vision towers of transformers 4 and 5, and the way from one to the other.

Version 5 renamed the parts of ViT, BEiT and DINOv2 and flattened the towers of CLIP and SigLIP (transformers 4.57.6
and 5.24.0, ``models/{vit,beit,dinov2,dinov2_with_registers,clip,siglip}``). A folder that ``save_pretrained`` of 5
writes keeps the names of 4 but for CLIP's and SigLIP's lone towers; a state dict, and so a checkpoint of a run, has the
names of the version that wrote it. All of them load beside both. The tables of layouts here speak of the names of 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from bus_toolkit.weights.mapping import Rule, from_target, to_target
from bus_toolkit.weights.patterns import pattern


@dataclass(frozen=True)
class _Tower:
    """A kind of tower.

    Attributes:
        old: Names of 4 that show it, after its own prefix.
        new: Names of 5 that show it.
        rules: From the names of 5 to those of 4; other names are the same.
        not_after: A prefix that ends so shows that the names are those of 4.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    rules: Sequence[Rule]
    not_after: tuple[str, ...] = ()

    def starts(self, names: Iterable[str], *, new: bool) -> list[str]:
        """Return what comes before the names of each such tower in ``names``, if they are those of 5 or of 4."""
        names = set(names)
        first, *others = self.new if new else self.old
        starts = [name.removesuffix(first) for name in names if name == first or name.endswith(f".{first}")]
        found = [start for start in starts if all(start + other in names for other in others)]
        return [start for start in found if not (new and start.endswith(self.not_after))]


def _rules(*pairs: tuple[str | tuple[str, ...], str]) -> tuple[Rule, ...]:
    rules = []
    for new, old in pairs:
        several = isinstance(new, tuple)
        names = new if isinstance(new, tuple) else (new,)
        rules.append(Rule(tuple(pattern(name) for name in names), pattern(old), "join" if several else "copy"))
    return tuple(rules)


def _attention(new: str, old: str) -> tuple[tuple[str, str], ...]:
    names = {"q": "attention.query", "k": "attention.key", "v": "attention.value", "o": "output.dense"}
    return tuple((f"{new}.attention.{n}_proj.*", f"{old}.attention.{o}.*") for n, o in names.items())


_OLD_BLOCK = "encoder.layer.{i}"
_OLD_QUERY = "encoder.layer.0.attention.attention.query.weight"
_INNER = "vision_model."
_INNER_PARTS = ("embeddings", "encoder", "pre_layrnorm", "post_layernorm", "head")
_TOWERS = (
    _Tower(  # ViT, and BEiT, which has relative positions
        (_OLD_QUERY, "encoder.layer.0.layernorm_before.weight"),
        ("layers.0.attention.q_proj.weight", "layers.0.layernorm_before.weight"),
        _rules(
            *_attention("layers.{i}", _OLD_BLOCK),
            ("layers.{i}.mlp.fc1.*", f"{_OLD_BLOCK}.intermediate.dense.*"),
            ("layers.{i}.mlp.fc2.*", f"{_OLD_BLOCK}.output.dense.*"),
            ("layers.{i}.relative_position_bias.*", f"{_OLD_BLOCK}.attention.attention.relative_position_bias.*"),
            ("shared_position_bias.*", "encoder.relative_position_bias.*"),
            ("layers.{i}.*", f"{_OLD_BLOCK}.*"),
        ),
    ),
    _Tower(  # DINOv2, with registers or without; the first half of SwiGLU's inner projection is the gate
        (_OLD_QUERY, "encoder.layer.0.norm1.weight"),
        ("encoder.layer.0.attention.q_proj.weight", "encoder.layer.0.norm1.weight"),
        _rules(
            *_attention(_OLD_BLOCK, _OLD_BLOCK),
            ((f"{_OLD_BLOCK}.mlp.gate_proj.*", f"{_OLD_BLOCK}.mlp.up_proj.*"), f"{_OLD_BLOCK}.mlp.weights_in.*"),
            (f"{_OLD_BLOCK}.mlp.down_proj.*", f"{_OLD_BLOCK}.mlp.weights_out.*"),
        ),
    ),
    _Tower(  # CLIP, SigLIP
        (f"{_INNER}embeddings.patch_embedding.weight", f"{_INNER}encoder.layers.0.self_attn.q_proj.weight"),
        ("embeddings.patch_embedding.weight", "encoder.layers.0.self_attn.q_proj.weight"),
        _rules(*((f"{part}.*", f"{_INNER}{part}.*") for part in _INNER_PARTS)),
        not_after=(_INNER,),
    ),
)


def in_names_of(tensors: Mapping[str, Tensor], own: Iterable[str] = ()) -> Mapping[str, Tensor]:
    """Return ``tensors`` with their towers of transformers under the names of the version that ``own`` has.

    Args:
        tensors: By name; towers may have any prefix.
        own: Names of the tensors of a module. For a kind of tower that it does not have, names of 5 become those of 4.

    Returns:
        ``tensors`` itself where nothing changes.
    """
    own = list(own)
    for tower in _TOWERS:
        wants_new = bool(tower.starts(own, new=True))
        for start in tower.starts(tensors, new=not wants_new):
            tensors = _renamed(tensors, start, tower.rules, to_new=wants_new)
    return tensors


def _renamed(tensors: Mapping[str, Tensor], start: str, rules: Sequence[Rule], *, to_new: bool) -> dict[str, Tensor]:
    inside = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
    mapped = from_target(inside, rules) if to_new else to_target(inside, rules, {})
    kept = {start + name for name in mapped.left}
    others = {name: tensor for name, tensor in tensors.items() if name in kept or not name.startswith(start)}
    return {**others, **{start + name: tensor for name, tensor in mapped.tensors.items()}}
