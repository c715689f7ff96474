#!/usr/bin/env bash
# Train or evaluate with several processes: dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh call this with their name.
#
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
#   tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]
#   tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]
#
# dist_*: GPUS is the number of processes on this machine; without a GPU they run on the CPU (gloo). Several machines: set NNODES,
# MASTER_ADDR (one of them) and MASTER_PORT (or PORT) on each; they meet there, in any order, or by NODE_RANK if you set that, too.
# On one machine a free port is taken.
# NNODES=2:4 is elastic: machines may come and go, and MAX_RESTARTS=3 starts all again so often when a process dies; either goes
# on from the newest checkpoint.
# slurm_*: environment GPUS (all processes, default 8), GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 5), SRUN_ARGS (more words for srun).
# DRY_RUN=1 prints the command in place of running it.
#
# SIGTERM, SIGUSR1 and SIGHUP stop a training after its step: it saves, and these scripts end with 75, whatever torchrun or srun make of it.
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

# check NAME VALUE PATTERN ALLOWED: end unless the value is of that form; torchrun and srun would start first and end in a traceback.
check() {
    [[ $2 =~ ^($3)$ ]] || {
        echo "$SCRIPT: $1 must be $4, got '$2'." >&2
        exit 2
    }
}
COUNT="[1-9][0-9]*"

NNODES=${NNODES:-1} ELASTIC=()
check NNODES "$NNODES" "$COUNT(:$COUNT)?" "a number of machines, or the least and the most (2:4)"
[ "${NNODES%:*}" -le "${NNODES#*:}" ] || check NNODES "$NNODES" "" "the least number of machines before the most (2:4)"
# Machines that come or go restart all processes, and torchrun does not count that as a restart.
[[ $NNODES != *:* ]] || ELASTIC=(--resume)
case $SCRIPT in
dist_train.sh)
    usage 2 "$@"
    PROCESSES=$2 WORDS=("$TOOLS/train.py" "$1" --launcher pytorch "${ELASTIC[@]}" "${@:3}")
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
    check GPUS "$PROCESSES" "$COUNT|auto|cpu|gpu" "the number of processes on this machine, or auto, cpu or gpu as in torchrun"
    PORT=${PORT:-${MASTER_PORT:-}}
    check "PORT (or MASTER_PORT)" "${PORT:-0}" "[0-9]{1,5}" "a number from 0 to 65535"
    [ "${PORT:-0}" -le 65535 ] || check "PORT (or MASTER_PORT)" "$PORT" "" "a number from 0 to 65535"
    check MAX_RESTARTS "${MAX_RESTARTS:-0}" "[0-9]+" "how often all processes start again, a whole number"
    check SHUTDOWN_TIMEOUT "${SHUTDOWN_TIMEOUT:-30}" "[0-9]+" "a whole number of seconds"
    check NODE_RANK "${NODE_RANK:-0}" "[0-9]+" "the number of this machine, from 0"
    [ "${NODE_RANK:-0}" -lt "${NNODES#*:}" ] || check NODE_RANK "$NODE_RANK" "" "from 0 and below NNODES ($NNODES)"
else
    check GPUS "${GPUS:-8}" "$COUNT" "the number of all processes"
    check GPUS_PER_NODE "${GPUS_PER_NODE:-8}" "$COUNT" "the number of processes on each machine"
    check CPUS_PER_TASK "${CPUS_PER_TASK:-5}" "$COUNT" "the number of processor cores of a process"
    [ "$SCRIPT" != slurm_train.sh ] || check WORK_DIR "$4" "[^-].*" "a folder"
fi

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

# dry_run WORDS...: with DRY_RUN=1 print them, quoted for a shell, and end.
dry_run() {
    [ "${DRY_RUN:-0}" != 0 ] || return 0
    printf '%q ' "$@"
    echo
    exit 0
}

# What runs in the background has a process group of its own; else bash would let it ignore Ctrl-C. All signals are passed on.
set -m
for name in TERM USR1 INT HUP; do
    trap "kill -$name \${CHILD:-} 2>/dev/null || :" "$name"
done

if [[ $SCRIPT == dist_* ]]; then
    export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 # else processes that start again meet the addresses of dead ones
    if [ "$NNODES" != 1 ]; then
        PORT=${PORT:-29500} # on one machine it is 0: any that is free
        if [ -z "${MASTER_ADDR:-}" ]; then
            echo "$SCRIPT: several machines meet at one of them, got NNODES=$NNODES and no MASTER_ADDR. Set it." >&2
            exit 2
        fi
    fi
    MEETING=(--rdzv_backend=c10d --rdzv_endpoint="${MASTER_ADDR:-127.0.0.1}:${PORT:-0}" --rdzv_id="${RUN_ID:-bus_toolkit}")
    if [ -n "${NODE_RANK:-}" ]; then
        MEETING=(--node_rank="$NODE_RANK" --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
    fi
    TORCHRUN=(
        torchrun
        --nnodes="$NNODES"
        "${MEETING[@]}"
        --nproc_per_node="$PROCESSES"
        ${MAX_RESTARTS:+--max_restarts="$MAX_RESTARTS"}
        ${SHUTDOWN_TIMEOUT:+--shutdown-timeout="$SHUTDOWN_TIMEOUT"}
    )
    dry_run "${TORCHRUN[@]}" "${WORDS[@]}"
    [ "$SCRIPT" = dist_train.sh ] || exec "${TORCHRUN[@]}" "${WORDS[@]}"
    export BUS_TOOLKIT_STOP_NOTE=${TMPDIR:-/tmp}/bus_toolkit_stopped_$$
    run "${TORCHRUN[@]}" "${WORDS[@]}"
    # torchrun shows each signal as a traceback of its own, below the line in which the training says what it has saved.
    [ -z "$STOPPED" ] || echo "$SCRIPT: stopped by $STOPPED; the same command with --resume goes on." >&2
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
[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || [ "$SCRIPT" != slurm_train.sh ] || WORDS+=(--resume)
dry_run "${SRUN[@]}" "${WORDS[@]}"
[ "$SCRIPT" = slurm_train.sh ] || exec "${SRUN[@]}" "${WORDS[@]}"
mkdir -p "$4"
export BUS_TOOLKIT_STOP_NOTE=$4/.stopped_${SLURM_JOB_ID:-$$} # in a folder that all machines of the job see
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
