"""One dataclass a config group: the schema behind conf/, its defaults, and the checks on values.

Hydra validates keys and types while it composes; `OmegaConf.to_object` then builds these
classes, and that is when the ``__post_init__`` checks run, before any data are read.
"""

from fatebias.config.data import DataConfig, SimulateConfig
from fatebias.config.run import (
    AUTO,
    CHECK,
    FEWEST_REFITS,
    FIT,
    STAGES,
    CalibrationConfig,
    Config,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    ModelConfig,
    PriorsConfig,
    TrackingConfig,
    weight_asked,
)

__all__ = [
    "AUTO",
    "CHECK",
    "FEWEST_REFITS",
    "FIT",
    "STAGES",
    "CalibrationConfig",
    "Config",
    "DataConfig",
    "DiscoveryConfig",
    "ExportConfig",
    "InferenceConfig",
    "ModelConfig",
    "PriorsConfig",
    "SimulateConfig",
    "TrackingConfig",
    "weight_asked",
]
