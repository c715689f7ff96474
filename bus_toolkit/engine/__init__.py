"""Build the Runner and run it: hooks, launchers, mixed precision, checkpoints. Importing this registers the hooks."""

from bus_toolkit.engine.amp import CPUAmpOptimWrapper
from bus_toolkit.engine.build_runner import build_runner
from bus_toolkit.engine.checkpoint import install_safe_loader, latest_checkpoint, load_checkpoint_file
from bus_toolkit.engine.device import find_device
from bus_toolkit.engine.hooks.average import EMAHook
from bus_toolkit.engine.hooks.checkpoint import AtomicCheckpointHook
from bus_toolkit.engine.hooks.early_stopping import EarlyStoppingHook
from bus_toolkit.engine.hooks.learning_faults import LearningFaultsHook
from bus_toolkit.engine.hooks.model_state import ModelStateHook
from bus_toolkit.engine.hooks.progress import RichProgressHook
from bus_toolkit.engine.hooks.report import ReportHook
from bus_toolkit.engine.hooks.run_page import RunPageHook
from bus_toolkit.engine.hooks.training_progress import KeepRatioScheduleHook, TrainingProgressHook
from bus_toolkit.engine.launch import init_distributed, shutdown_distributed
from bus_toolkit.engine.options import RunOptions
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.engine.run import TrainingInterrupted, evaluate, train
from bus_toolkit.engine.runner import BusRunner

__all__ = [
    "AtomicCheckpointHook",
    "BusRunner",
    "CPUAmpOptimWrapper",
    "EMAHook",
    "EarlyStoppingHook",
    "KeepRatioScheduleHook",
    "LearningFaultsHook",
    "ModelStateHook",
    "ReportHook",
    "RichProgressHook",
    "RunOptions",
    "RunPageHook",
    "TrainingInterrupted",
    "TrainingProgressHook",
    "build_runner",
    "evaluate",
    "find_device",
    "init_distributed",
    "install_safe_loader",
    "latest_checkpoint",
    "load_checkpoint_file",
    "quiet_hosts",
    "shutdown_distributed",
    "train",
]
