"""Room: what a run is. Door: ``from_flags`` turns flags, YAML and ``--set`` into one frozen, validated `Config`.

The run's id is a hash of every resolved value (`run_id`).
"""

from rarefy.config._flags import assignment, from_flags, setting_name
from rarefy.config._model import Choice, Config, ConfigError, Training, dump, read, run_id

__all__ = [
    "Choice",
    "Config",
    "ConfigError",
    "Training",
    "assignment",
    "dump",
    "from_flags",
    "read",
    "run_id",
    "setting_name",
]
