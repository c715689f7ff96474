"""Whether text and patches, which a selector compares, are equally wide."""

from __future__ import annotations

WIDTH_ADVICE = "Give the backbone's width to text_encoder.hidden_size, or to language_model.hidden_size of a CausalVLM."


def check_widths(
    embed_dim: int | None, text_dim: int | None, reason: str = "text tokens and patches meet in one space"
) -> None:
    """Refuse a text of another width than the patches, where both are known.

    Args:
        embed_dim: Width of the patches; ``None`` where it is not known.
        text_dim: Width of the text, likewise.
        reason: Why they must be equally wide, for the message.

    Raises:
        ValueError: They are not.
    """
    if embed_dim is not None and text_dim is not None and embed_dim != text_dim:
        raise ValueError(
            f"text_dim: {reason}, so both must be equally wide, got {text_dim} and {embed_dim}. {WIDTH_ADVICE}"
        )
