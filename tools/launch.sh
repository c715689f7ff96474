#!/usr/bin/env bash
# Train or evaluate with several processes: dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh call this with their name.
#
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
#   tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]
#   tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]
#
# dist_*: GPUS is the number of processes on this machine; without a GPU they run on the CPU (gloo). Several machines: set NNODES,
# NODE_RANK, MASTER_ADDR and PORT on each.
# slurm_*: environment GPUS (all processes, default 8), GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 5), SRUN_ARGS (more words for srun).
set -euo pipefail

TOOLS=$(dirname "$0")
SCRIPT=$1
shift

# usage N "$@": show how the script is called unless there are N words or more.
usage() {
    if [ "$(($# - 1))" -lt "$1" ]; then
        grep -m 1 "^#   tools/$SCRIPT " "$TOOLS/launch.sh" | sed 's/^#  /usage:/' >&2
        exit 2
    fi
}

case $SCRIPT in
dist_train.sh)
    usage 2 "$@"
    PROCESSES=$2 WORDS=("$TOOLS/train.py" "$1" --launcher pytorch "${@:3}")
    ;;
dist_test.sh)
    usage 3 "$@"
    PROCESSES=$3 WORDS=("$TOOLS/test.py" "$1" "$2" --launcher pytorch "${@:4}")
    ;;
slurm_train.sh)
    usage 4 "$@"
    WORDS=("$TOOLS/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}")
    ;;
slurm_test.sh)
    usage 4 "$@"
    WORDS=("$TOOLS/test.py" "$3" "$4" --launcher slurm "${@:5}")
    ;;
*)
    echo "launch.sh: is called by dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh, got $SCRIPT." >&2
    exit 2
    ;;
esac

if [[ $SCRIPT == dist_* ]]; then
    exec torchrun \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-29500}" \
        --nproc_per_node="$PROCESSES" \
        "${WORDS[@]}"
fi
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
read -r -a SRUN_WORDS <<<"${SRUN_ARGS:-}"
exec srun -p "$1" \
    --job-name="$2" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    "${SRUN_WORDS[@]}" \
    python -u "${WORDS[@]}"
