"""Jets of particles, clustered by FastJet."""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np

from ..extras import require
from .kinematics import pseudorapidity
from .selection import load_vector

__all__ = ["cluster_jets"]


def cluster_jets(particles: Mapping[str, ak.Array], radius: float, pt_min: float) -> tuple[ak.Array, ak.Array]:
    """Cluster massless particles by the anti-kT algorithm (M. Cacciari et al., arXiv:0802.1189), E scheme.

    Parameters
    ----------
    particles : mapping
        ``pt`` (GeV, above 0), ``eta``, ``phi``: float64 (events, var).
    radius, pt_min : float
        Radius parameter, and the lowest pt of a jet (GeV).

    Returns
    -------
    awkward array, (events, var) records
        Jets by falling pt: float32 ``pt``, ``eta``, ``phi``, ``mass``, and ``nConstituents``.
    awkward array, (events, var) records
        float32 ``pt``, ``eta``, ``phi`` of their constituents, jet by jet.
    """
    fastjet = require("fastjet", "clustering of jets")
    load_vector()
    # FastJet prints who wrote it to standard output.
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    pt, eta, phi = (particles[name] for name in ("pt", "eta", "phi"))
    momenta = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": pt * np.cosh(eta)}
    clusters = fastjet.ClusterSequence(
        ak.zip(momenta, with_name="Momentum4D"), fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    )
    clustered, places = clusters.inclusive_jets(pt_min), clusters.constituent_index(pt_min)
    order = ak.argsort(np.hypot(clustered.px, clustered.py), axis=1, ascending=False, stable=True)
    clustered, places = clustered[order], places[order]
    momentum = np.sqrt(clustered.px**2 + clustered.py**2 + clustered.pz**2)
    jets = {
        "pt": np.hypot(clustered.px, clustered.py),
        "eta": pseudorapidity(clustered.px, clustered.py, clustered.pz),
        "phi": np.arctan2(clustered.py, clustered.px),
        "mass": np.sqrt(np.maximum((clustered.E - momentum) * (clustered.E + momentum), 0)),
    }
    single = {name: ak.values_astype(column, np.float32) for name, column in jets.items()}
    counts = ak.values_astype(ak.num(places, axis=2), np.int64)
    jet_by_jet = ak.flatten(places, axis=2)
    constituents = {name: ak.values_astype(column[jet_by_jet], np.float32) for name, column in particles.items()}
    return ak.zip({**single, "nConstituents": counts}), ak.zip(constituents)
