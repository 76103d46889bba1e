"""What the input of a model is: written once, stored in the model file, read everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import SpecError
from .features import Feature, Level, feature

__all__ = ["COORDINATES", "MOMENTA", "MOST_PARTICLES", "Coordinates", "InputSpec"]

#: The features of a constituent that the models of hepvae are trained with: radians for phi, GeV for pt.
MOMENTA = ("eta", "phi", "pt")

#: ``relative``: eta and phi minus those of the jet axis, phi wrapped to [-pi, pi]; ``absolute``: as read.
Coordinates = Literal["relative", "absolute"]
COORDINATES: tuple[Coordinates, ...] = get_args(Coordinates)

#: No jet has more; what a broken or hostile file asks for must not be taken for memory.
MOST_PARTICLES = 10_000
MOST_FEATURES = 1_000


@dataclass(frozen=True)
class InputSpec:
    """The padded array a model takes: float32 ``(jets, n_particles, n_features)``.

    Constituents come by falling pt, the first ``n_particles`` of them, the rest padded with zeros. Values are
    physical ones: a model that wants them transformed does that itself. Features of the jet stand behind
    those of the constituents, the same in every place; a model that takes nothing else has one place.

    Raises
    ------
    SpecError
        A value is none that can be.

    Examples
    --------
    >>> hepvae.InputSpec(n_particles=50).shape
    (50, 3)
    """

    n_particles: int = 100
    """Constituents per jet."""
    features: tuple[str, ...] = MOMENTA
    """First columns of the last axis, of level ``constituents`` of `features.FEATURES`."""
    coordinates: Coordinates = "relative"
    """Of the features eta and phi, one of `COORDINATES`."""
    jet_features: tuple[str, ...] = ()
    """Last columns of the last axis, of level ``jet``."""

    def __post_init__(self) -> None:
        n = self.n_particles
        if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= MOST_PARTICLES:
            raise SpecError(f"n_particles is {n!r}: expected a positive whole number, {MOST_PARTICLES} at most")
        object.__setattr__(self, "n_particles", int(n))
        of_level: tuple[tuple[str, Level], ...] = (("features", "constituents"), ("jet_features", "jet"))
        for name, level in of_level:
            given = getattr(self, name)
            names = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, name, names)
            if len(set(names)) != len(names) or len(names) > MOST_FEATURES:
                raise SpecError(f"{name} are {names!r}: expected {MOST_FEATURES} at most, each once")
            for one in names:
                if not isinstance(one, str):
                    raise SpecError(f"{name} are {names!r}: expected names")
                feature(one, level)
        if not self.features and not self.jet_features:
            raise SpecError(f"features are {self.features!r}: expected some, of constituents or of jets")
        if not self.features and n != 1:
            raise SpecError(f"n_particles is {n}: expected 1 where there are features of the jet only")
        if self.coordinates not in COORDINATES:
            raise SpecError(f"coordinates are {self.coordinates!r}: expected one of {', '.join(COORDINATES)}")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one jet: ``(n_particles, n_features)``."""
        return (self.n_particles, len(self.features) + len(self.jet_features))

    @property
    def rows(self) -> tuple[Feature, ...]:
        """The rows of the table, for each feature of the last axis."""
        constituents = tuple(feature(name, "constituents") for name in self.features)
        return constituents + tuple(feature(name, "jet") for name in self.jet_features)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are needed besides pt, eta and phi."""
        return tuple(dict.fromkeys(column for row in self.rows for column in row.columns))

    @property
    def jet_columns(self) -> tuple[str, ...]:
        """Columns of the jets that are needed besides pt, eta, phi and mass."""
        known = ("pt", "eta", "phi", "mass")
        return tuple(dict.fromkeys(c for row in self.rows for c in row.jet_columns if c not in known))

    @property
    def momenta_only(self) -> bool:
        """Whether it has no features but `MOMENTA`."""
        return not self.jet_features and set(self.features) <= set(MOMENTA)

    def check(self, padded: npt.NDArray[np.generic]) -> None:
        """Raise `SpecError` where an array is no padded array of this spec."""
        if padded.ndim not in (3, 4) or padded.shape[-2:] != self.shape:
            names = ", ".join((*self.features, *self.jet_features))
            raise SpecError(
                f"input has shape {padded.shape}: expected (jets, {self.n_particles}, {self.shape[1]})"
                f" for {self.n_particles} particles of {names}"
            )

    def to_dict(self) -> dict[str, Any]:
        """A dict of plain values, for JSON."""
        values = {**asdict(self), "features": list(self.features), "jet_features": list(self.jet_features)}
        if not self.jet_features:  # as it was before there were any
            del values["jet_features"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """The spec that `to_dict` wrote; unknown or missing keys are an error."""
        expected = set(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or {*values, "jet_features"} != expected:
            raise SpecError(
                f"input spec is {values!r}: expected the keys {', '.join(sorted(expected - {'jet_features'}))}"
            )
        if not all(isinstance(values.get(name, ()), (str, Iterable)) for name in ("features", "jet_features")):
            raise SpecError(f"input spec is {values!r}: expected lists of features")
        return cls(**values)
