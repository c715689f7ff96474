#!/usr/bin/env bash
# Train with several processes of one or more machines.
#
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# GPUS is the number of processes on this machine; without a GPU they run on the CPU (gloo). Several machines: set NNODES, NODE_RANK,
# MASTER_ADDR and PORT on each.
set -euo pipefail

if [ "$#" -lt 2 ]; then
    echo "usage: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2

exec torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
