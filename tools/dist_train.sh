#!/usr/bin/env bash
# Train with several processes: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
exec bash "$(dirname "$0")/launch.sh" dist_train.sh "$@"
