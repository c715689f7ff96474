"""A vision-language model with a causal language model, trained from a config."""
