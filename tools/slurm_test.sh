#!/usr/bin/env bash
# Evaluate on a Slurm cluster.
#
#   tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]
#
# Environment: GPUS (all processes, default 8), GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 5), SRUN_ARGS (more words for srun).
set -euo pipefail

if [ "$#" -lt 4 ]; then
    echo "usage: tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]" >&2
    exit 2
fi
PARTITION=$1
JOB=$2
CONFIG=$3
CHECKPOINT=$4
shift 4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
read -r -a SRUN_WORDS <<<"${SRUN_ARGS:-}"

exec srun -p "$PARTITION" \
    --job-name="$JOB" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    "${SRUN_WORDS[@]}" \
    python -u "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "$@"
