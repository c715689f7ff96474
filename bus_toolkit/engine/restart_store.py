"""Where processes that torchrun has started again meet: not under the names that those before them have left."""

from __future__ import annotations

import os
from typing import Any

from torch.distributed import PrefixStore, TCPStore


def store_of_restart() -> dict[str, Any]:
    """Return arguments of ``init_process_group``; none of them outside of a restart.

    torchrun's agent keeps one store for all starts, unless ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1``. Gloo would find
    the addresses of processes that are dead in it, and wait for these (torch 2.14). Restarts for machines that come or
    go are not counted: these need that variable, which ``dist_train.sh`` sets.
    """
    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if count == "0" or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return {}
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    own = {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])}
    return {"store": PrefixStore(f"restart_{count}", store), **own}
