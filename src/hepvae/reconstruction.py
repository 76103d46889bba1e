"""Jets from padded particles: what a model makes of pt, mass and multiplicity."""

from __future__ import annotations

import numpy as np

from .errors import SpecError
from .spec import InputSpec

__all__ = ["CONSTITUENT_PT", "OBSERVABLES", "jet_observables"]

#: GeV; softer particles do not count for the multiplicity. A model without a mask makes them of padding.
CONSTITUENT_PT = 0.5

#: Jet observables, and how an axis names them.
OBSERVABLES = {
    "pt": r"Jet $p_T$ (GeV)",
    "mass": "Jet mass (GeV)",
    "multiplicity": rf"Constituents with $p_T$ > {CONSTITUENT_PT} GeV",
}


def jet_observables(padded, spec: InputSpec) -> dict[str, np.ndarray]:
    """Observables of the sum of the massless constituents of each jet.

    Parameters
    ----------
    padded : array (jets, n_particles, n_features)
        An input of a model, or what it makes of it. Relative coordinates are as good as absolute ones:
        neither observable changes under a rotation in phi or a boost along the beam. Particles of negative
        pt, which a decoder may make, are left out.
    spec : InputSpec

    Returns
    -------
    dict of str to float64 array (jets,)
        By the names in `OBSERVABLES`; pt and mass in GeV.
    """
    import vector

    lost = [f for f in ("eta", "phi", "pt") if f not in spec.features]
    if lost:
        raise SpecError(f"jets need {lost[0]} of their constituents: found {', '.join(spec.features)}")
    spec.check(padded)
    eta, phi, pt = (np.asarray(padded[..., spec.features.index(f)], np.float64) for f in ("eta", "phi", "pt"))
    pt = np.maximum(pt, 0)
    jets = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": np.zeros_like(pt)}).sum(axis=1)
    # A jet of one massless particle has none, to rounding of either sign.
    return {
        "pt": jets.pt,
        "mass": np.sqrt(np.maximum(jets.mass2, 0)),
        "multiplicity": (pt > CONSTITUENT_PT).sum(axis=1),
    }
