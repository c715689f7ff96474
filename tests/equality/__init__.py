"""One training by 1, 2 and 4 processes, in DDP and FSDP2: ``python -m tests.equality`` shows how alike they are."""
