"""Vision backbones that reduce their tokens between blocks."""
