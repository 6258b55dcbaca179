"""Builds configs: `build_config` turns flags, YAML and ``--set`` into one frozen, validated `Config`.

The run's id is a hash of every resolved value (`compute_run_id`).
"""

from rarefy.config._flags import build_config, find_setting, parse_assignment
from rarefy.config._flatten import flatten_settings
from rarefy.config._model import Config, ConfigError, MethodConfig, Training, compute_run_id, dump_config, read_settings

__all__ = [
    "Config",
    "ConfigError",
    "MethodConfig",
    "Training",
    "build_config",
    "compute_run_id",
    "dump_config",
    "find_setting",
    "flatten_settings",
    "parse_assignment",
    "read_settings",
]
