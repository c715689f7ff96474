"""Plans a training for a budget of compute: how large an image, how many tokens."""
