"""Studies: several systems on several tasks with several seeds, trained and reported by one command."""
