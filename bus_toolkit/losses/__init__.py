"""Loss functions on plain tensors."""
