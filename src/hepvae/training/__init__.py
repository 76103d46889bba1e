"""Training a model on the jets of files: `train` with `TrainingOptions`."""

from .options import TrainingOptions
from .training import TrainedModel, train

__all__ = ["TrainedModel", "TrainingOptions", "train"]
