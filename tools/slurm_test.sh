#!/usr/bin/env bash
# Evaluate on a Slurm cluster: tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]
exec bash "$(dirname "$0")/launch.sh" slurm_test.sh "$@"
