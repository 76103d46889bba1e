"""What the input of a model is: written once, stored in the model file, read everywhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..errors import SpecError

__all__ = ["COORDINATES", "FEATURES", "MOST_PARTICLES", "InputSpec"]

#: Features of a constituent that a model may ask for: radians for phi, GeV for pt.
FEATURES = ("eta", "phi", "pt")

#: ``relative``: eta and phi minus those of the jet axis, phi wrapped to [-pi, pi]; ``absolute``: as read.
COORDINATES = ("relative", "absolute")

#: No jet has more; what a broken or hostile file asks for must not be taken for memory.
MOST_PARTICLES = 10_000


@dataclass(frozen=True)
class InputSpec:
    """The padded array a model takes: float32 ``(jets, n_particles, n_features)``.

    Constituents come by falling pt, the first ``n_particles`` of them, the rest padded with zeros.

    Raises
    ------
    SpecError
        A value is none that can be.
    """

    n_particles: int = 100
    """Constituents per jet."""
    features: tuple[str, ...] = ("eta", "phi", "pt")
    """Columns of the last axis, of `FEATURES`."""
    coordinates: str = "relative"
    """One of `COORDINATES`."""

    def __post_init__(self):
        n = self.n_particles
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_PARTICLES:
            raise SpecError(f"n_particles is {n!r}: expected a positive whole number, {MOST_PARTICLES} at most")
        features = (self.features,) if isinstance(self.features, str) else tuple(self.features)
        object.__setattr__(self, "features", features)
        unknown = [f for f in features if f not in FEATURES]
        if unknown or not features or len(set(features)) != len(features):
            raise SpecError(f"features are {features!r}: expected some of {FEATURES}, each once")
        if self.coordinates not in COORDINATES:
            raise SpecError(f"coordinates are {self.coordinates!r}: expected one of {', '.join(COORDINATES)}")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one jet: ``(n_particles, n_features)``."""
        return (self.n_particles, len(self.features))

    def check(self, padded) -> None:
        """Raise `SpecError` where an array is no padded array of this spec."""
        if padded.ndim not in (3, 4) or padded.shape[-2:] != self.shape:
            raise SpecError(
                f"input has shape {padded.shape}: expected (jets, {self.n_particles}, {len(self.features)})"
                f" for {self.n_particles} particles of {', '.join(self.features)}"
            )

    def to_dict(self) -> dict:
        """A dict of plain values, for JSON."""
        return {**asdict(self), "features": list(self.features)}

    @classmethod
    def from_dict(cls, values: dict) -> InputSpec:
        """The spec that `to_dict` wrote; unknown or missing keys are an error."""
        expected = set(cls.__dataclass_fields__)
        if not isinstance(values, dict) or set(values) != expected:
            raise SpecError(f"input spec is {values!r}: expected the keys {', '.join(sorted(expected))}")
        return cls(**values)
