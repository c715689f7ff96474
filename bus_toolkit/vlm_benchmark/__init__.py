"""What a reduced vision-language model of transformers costs, measured and counted."""
