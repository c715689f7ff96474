#!/usr/bin/env bash
# Evaluate with several processes: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
exec bash "$(dirname "$0")/launch.sh" dist_test.sh "$@"
