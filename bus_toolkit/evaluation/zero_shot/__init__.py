"""Classification without training: images against the names of classes."""
