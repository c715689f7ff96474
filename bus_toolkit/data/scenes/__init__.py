"""Procedural scenes: one scene graph gives the picture, the captions and the boxes. A synthetic check, nothing more."""
