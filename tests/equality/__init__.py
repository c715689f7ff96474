"""The same training by 1, 2 and 4 processes, in DDP and FSDP2: ``python -m tests.equality`` prints how alike they are."""
