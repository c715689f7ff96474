"""Public data sets, checked and brought once into the files that our readers read."""
