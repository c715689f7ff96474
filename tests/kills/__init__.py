"""Does a training that is killed again and again end as one that was left alone? ``python -m tests.kills`` finds out.

Two ranks with dropout, flips, region rows, a momentum branch and its queue are killed (SIGKILL) at random moments,
while a checkpoint is written and while they evaluate, and resumed each time. The last checkpoint and the log must equal
those of an unbroken run bit for bit. ``test_kills.py`` has a short version.
"""
