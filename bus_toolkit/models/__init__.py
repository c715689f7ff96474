"""The assembly of parts into a model, its momentum copies, and the order of passes in a step."""
