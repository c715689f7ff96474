"""Text decoders, for generation."""
