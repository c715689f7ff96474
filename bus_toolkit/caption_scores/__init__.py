"""How much a caption has in common with those that people wrote: pure functions of tokens, without Java."""
