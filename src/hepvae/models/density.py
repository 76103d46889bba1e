"""The density of jet observables given mass and pt: jets that are improbable for QCD are anomalous.

The observables come one after the other: each has a mixture of Gaussians whose parameters a small network makes of
the conditions and of the observables before it (C. Bishop, Aston University report NCRG/94/004; B. Uria et al.,
arXiv:1306.0186). All features are positive, and taken as their logarithms: a density depends on its coordinate,
and in this one the jets with clear prongs stand apart. Given mass and pt, the mass itself says nothing, so that a
cut on the score hardly changes its spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import keras
from keras import layers, ops

from ..errors import OptionError
from ..jets.spec import InputSpec
from . import Architecture, hyperparameters
from .card import ModelCard
from .jet_model import JetModel, Standardise

__all__ = ["DENSITY", "Density"]

#: Smallest value that a logarithm is taken of: tau21 is 0 of a jet of two constituents.
LEAST_VALUE = 0.01
#: Share and width (standard deviations of the training sample) of a Gaussian that all mixtures have: the loss of a
#: jet far from all others grows slowly, and no single observable decides over an event.
BROAD_SHARE, BROAD_WIDTH = 1e-3, 5.0
#: Largest |logarithm| of the width of the other Gaussians, likewise.
MOST_LOG_WIDTH = 4.0

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class Mixture(layers.Layer):
    """-log of the density of a standardised observable, (jets,), from it and the parameters of its mixture.

    Parameters
    ----------
    log_width : float
        Logarithm of the standard deviation that it was standardised by.
    """

    def __init__(self, log_width: float, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.log_width = float(log_width)

    def call(self, value: Any, parameters: Any) -> Any:
        share, mean, narrowness = ops.split(parameters, 3, axis=1)
        narrowness = ops.clip(narrowness, -MOST_LOG_WIDTH, MOST_LOG_WIDTH)
        pulls = (value - mean) * ops.exp(narrowness)
        each = ops.log_softmax(share, axis=1) + narrowness - 0.5 * pulls * pulls
        broad = math.log(BROAD_SHARE / (1 - BROAD_SHARE) / BROAD_WIDTH) - 0.5 * ops.square(value / BROAD_WIDTH)
        log_density = ops.logsumexp(ops.concatenate([each, broad], axis=1), axis=1) + math.log(1 - BROAD_SHARE)
        return self.log_width + HALF_LOG_2_PI - log_density


@keras.saving.register_keras_serializable("hepvae")
class Density(JetModel):
    """A density of observables of a jet, conditional on others.

    Parameters
    ----------
    card : ModelCard
        Of jet features only: the conditions first, then the observables.

    Notes
    -----
    Called on padded jets (jets, 1, n_features) it gives a dict of ``loss`` (jets,): -log of the density of the
    logarithms of the observables, in nats, each term by its weight. Each has weights of its own in the network, so
    that what they learn does not depend on those weights.
    """

    def __init__(self, card: ModelCard, **kwargs: Any) -> None:
        super().__init__(card, **kwargs)
        self.network = build(card, **hyperparameters(card.architecture, card.hyperparameters))
        self.built = True

    def call(self, particles: Any, training: bool = False, by_product: bool = False) -> dict[str, Any]:
        return {"loss": self.network(particles, training=training)}


def build(
    card: ModelCard, *, conditions: int, weights: list[int], components: int, units: list[int]
) -> keras.Model:
    """Build the network: jet features (jets, 1, features) to the loss (jets,)."""
    check(card.spec, conditions, weights)
    names = card.spec.jet_features
    for name, mean in zip(names, card.mean):
        if mean <= LEAST_VALUE:
            raise OptionError(f"density: the mean of {name} is {mean:g}: expected features that are positive")
    # To first order, those of the logarithms.
    means = [math.log(mean) for mean in card.mean]
    widths = [std / mean for std, mean in zip(card.std, card.mean)]

    inputs = keras.Input(card.spec.shape, name="particles")
    x = layers.Reshape((len(names),), name="features")(inputs)
    x = Standardise(means, widths, name="standardise")(Logarithm(name="logarithm")(x))
    losses = []
    for i, weight in enumerate(weights, start=conditions):
        y = x[:, :i]
        for n, width in enumerate(units):
            y = layers.Dense(width, activation="swish", name=f"dense_{i}_{n}")(y)
        parameters = layers.Dense(3 * components, name=f"mixture_{i}")(y)
        loss = Mixture(math.log(widths[i]), name=f"loss_{i}")(x[:, i : i + 1], parameters)
        losses.append(loss * (weight / 100))
    return keras.Model(inputs, sum(losses[1:], losses[0]), name="density")


class Logarithm(layers.Layer):
    """The natural logarithm, of `LEAST_VALUE` at least."""

    def call(self, values: Any) -> Any:
        return ops.log(ops.maximum(values, LEAST_VALUE))


def check(spec: InputSpec, conditions: int, weights: list[int]) -> None:
    """Raise `OptionError` where there is no density of these features."""
    features = len(spec.jet_features)
    if spec.features:
        raise OptionError(f"density takes features of jets only: found {', '.join(spec.features)} of constituents")
    if features - conditions != len(weights):
        raise OptionError(
            f"density: {features} features of which {conditions} are conditions, and {len(weights)} weights:"
            f" expected a weight for each of the other {max(features - conditions, 0)}"
        )


def least_weights(spec: InputSpec, values: Mapping[str, Any]) -> int:
    """Weights of the networks of all observables, without their biases."""
    check(spec, values["conditions"], values["weights"])
    widths = [values["conditions"], *values["units"], 3 * values["components"]]
    return int(len(values["weights"]) * sum(a * b for a, b in pairwise(widths)))


#: Weights in per cent. They and the observables were chosen with three signals in view: see data/README.md.
DENSITY = Architecture(
    build,
    least_weights,
    {"conditions": 2, "weights": [100, 50, 50, 25], "components": 12, "units": [64, 64]},
    spec=InputSpec(1, (), jet_features=("pt", "mass", "tau21", "tau32", "tau43", "multiplicity")),
    losses=("loss",),
    strategy="sum",
)
