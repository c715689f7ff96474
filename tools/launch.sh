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
#
# SIGTERM and SIGUSR1 stop a training after its step: it saves, and these scripts end with 75, whatever torchrun or srun make of it.
# torchrun kills what still runs after 30 s; SHUTDOWN_TIMEOUT=120 gives more, where torchrun has --shutdown-timeout.
# slurm_train.sh puts the job back into the queue after SIGUSR1 (REQUEUE=0: not), and a job that starts again goes on where it was.
# Slurm sends it two minutes before the end of the time with `#SBATCH --signal=USR1@120` or SRUN_ARGS=--signal=USR1@120.
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

# run WORDS...: run them; if a signal has stopped the training, as its note says, STOPPED is the signal and CODE is 75.
run() {
    rm -f "$BUS_TOOLKIT_STOP_NOTE"
    CODE=0 STOPPED=
    "$@" &
    CHILD=$!
    # A signal ends `wait`, too. A command in the foreground would keep it from this script until its end.
    while wait "$CHILD" && CODE=0 || CODE=$?; kill -0 "$CHILD" 2>/dev/null; do :; done
    if [ -f "$BUS_TOOLKIT_STOP_NOTE" ]; then
        STOPPED=$(cat "$BUS_TOOLKIT_STOP_NOTE") CODE=75
        rm -f "$BUS_TOOLKIT_STOP_NOTE"
    fi
}

# What runs in the background has a process group of its own; else bash would let it ignore Ctrl-C. All signals are passed on.
set -m
for name in TERM USR1 INT HUP; do
    trap "kill -$name \${CHILD:-} 2>/dev/null || :" "$name"
done

if [[ $SCRIPT == dist_* ]]; then
    export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
    TORCHRUN=(
        torchrun
        --nnodes="${NNODES:-1}"
        --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}"
        --master_port="${PORT:-29500}"
        --nproc_per_node="$PROCESSES"
        ${SHUTDOWN_TIMEOUT:+--shutdown-timeout="$SHUTDOWN_TIMEOUT"}
    )
    [ "$SCRIPT" = dist_train.sh ] || exec "${TORCHRUN[@]}" "${WORDS[@]}"
    export BUS_TOOLKIT_STOP_NOTE=${TMPDIR:-/tmp}/bus_toolkit_stopped_$$
    run "${TORCHRUN[@]}" "${WORDS[@]}"
    exit "$CODE"
fi
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
read -r -a SRUN_WORDS <<<"${SRUN_ARGS:-}"
SRUN=(
    srun -p "$1"
    --job-name="$2"
    --gres=gpu:"$GPUS_PER_NODE"
    --ntasks="${GPUS:-8}"
    --ntasks-per-node="$GPUS_PER_NODE"
    --cpus-per-task="${CPUS_PER_TASK:-5}"
    --kill-on-bad-exit=1
    "${SRUN_WORDS[@]}"
    python -u
)
[ "$SCRIPT" = slurm_train.sh ] || exec "${SRUN[@]}" "${WORDS[@]}"
mkdir -p "$4"
export BUS_TOOLKIT_STOP_NOTE=$4/.stopped_${SLURM_JOB_ID:-$$} # in a folder that all machines of the job see
[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || WORDS+=(--resume)
run "${SRUN[@]}" "${WORDS[@]}"
while [ "$STOPPED" = SIGUSR1 ] && [ "${REQUEUE:-1}" != 0 ]; do
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        scontrol requeue "$SLURM_JOB_ID" # Slurm ends this job, and starts it again from its beginning
        break
    fi
    echo "slurm_train.sh: stopped before the end; waiting for machines again." >&2
    WORDS+=(--resume)
    run "${SRUN[@]}" "${WORDS[@]}"
done
exit "$CODE"
