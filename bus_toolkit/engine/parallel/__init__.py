"""How a training is spread over processes: which wrapper a model gets, DDP in phases, FSDP2."""
