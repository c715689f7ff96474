"""Every kind of transformer that an adapter takes apart, small, with every parameter away from its start."""

from __future__ import annotations

from tests.backbones.adapters import huggingface_kinds, openmmlab_kinds, timm_kinds
from tests.backbones.adapters.vit_like import VitLike

VIT_LIKES: dict[str, VitLike] = {
    kind.name: kind for kinds in (openmmlab_kinds, huggingface_kinds, timm_kinds) for kind in kinds.KINDS
}
