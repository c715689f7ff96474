#!/usr/bin/env bash
# Train on a Slurm cluster.
#
#   tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]
#
# Environment: GPUS (all processes, default 8), GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 5), SRUN_ARGS (more words for srun).
set -euo pipefail

if [ "$#" -lt 4 ]; then
    echo "usage: tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB=$2
CONFIG=$3
WORK_DIR=$4
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
    python -u "$(dirname "$0")/train.py" "$CONFIG" --work-dir "$WORK_DIR" --launcher slurm "$@"
