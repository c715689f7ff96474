"""All readers under fire."""

from tests.fuzz.targets import annotations, captions, checkpoints, configs, images, shards, tables

TARGETS = {
    target.name: target
    for module in (configs, checkpoints, images, shards, captions, annotations, tables)
    for target in module.TARGETS
}
