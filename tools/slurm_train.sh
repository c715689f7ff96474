#!/usr/bin/env bash
# Train on a Slurm cluster: tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]
exec bash "$(dirname "$0")/launch.sh" slurm_train.sh "$@"
