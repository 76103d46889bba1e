"""What a model makes of jets: of their pt, mass, multiplicity and prongs, and of each particle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SpecError
from .kinematics import wrapped
from .spec import InputSpec
from .substructure import subjettiness

__all__ = ["CONSTITUENT_PT", "OBSERVABLES", "RESIDUALS", "jet_observables", "nearest_residuals"]

#: GeV; softer particles do not count for the multiplicity. A model without a mask makes them of padding.
CONSTITUENT_PT = 0.5

#: Jet observables, and how an axis names them.
OBSERVABLES = {
    "pt": r"Jet $p_T$ (GeV)",
    "mass": "Jet mass (GeV)",
    "multiplicity": rf"Constituents with $p_T$ > {CONSTITUENT_PT} GeV",
    "tau21": r"Jet $\tau_{21}$",
}

#: Differences of matched particles, output minus input, and how an axis names them.
RESIDUALS = {
    "pt": r"Particle $p_T$, output $-$ input (GeV)",
    "eta": r"Particle $\Delta\eta$, output $-$ input",
    "phi": r"Particle $\Delta\phi$, output $-$ input",
}

#: Jets whose distances are held at once: n_particles^2 float32 each, of every feature.
AT_ONCE = 256


def jet_observables(padded: npt.ArrayLike, spec: InputSpec) -> dict[str, npt.NDArray[np.float64]]:
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
        By the names in `OBSERVABLES`; pt and mass in GeV, tau21 as `substructure.substructure` has it.
    """
    import vector

    eta, phi, pt = _momenta(padded, spec)
    pt = np.maximum(pt, 0)
    counts = (pt > 0).sum(axis=1)
    flat = (np.asarray(values[pt > 0], np.float32) for values in (pt, eta, phi))
    tau1, tau2 = subjettiness(np.cumsum(counts) - counts, counts, *flat).T[:2]
    jets: Any = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": np.zeros_like(pt)}).sum(axis=1)
    # A jet of one massless particle has none, to rounding of either sign.
    return {
        "pt": jets.pt,
        "mass": np.sqrt(np.maximum(jets.mass2, 0)),
        "multiplicity": (pt > CONSTITUENT_PT).sum(axis=1),
        "tau21": np.divide(tau2, tau1, out=np.zeros(len(tau1)), where=tau1 > 0),
    }


def nearest_residuals(
    padded: npt.ArrayLike, reconstructed: npt.ArrayLike, spec: InputSpec
) -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    """Differences of the particles that the Chamfer distance compares, see `hepvae.losses.chamfer`.

    The nearest particle is that of the smallest squared distance in all features as they are: pt in GeV, next to
    which eta and phi hardly count. Places that are padding in the input are left out of both sets, as by the
    loss of models that mask them.

    Parameters
    ----------
    padded, made : arrays (jets, n_particles, n_features)
        The input of a model, and its reconstruction.
    spec : InputSpec

    Returns
    -------
    dict of str to dict of str to float32 array (particles,)
        ``input``: of each input particle, to the nearest output; ``output``: of each output particle, to the
        nearest input. In both output minus input, by the names in `RESIDUALS`; phi in [-pi, pi].
    """
    before, after = (np.stack(_momenta(array, spec, np.float32)) for array in (padded, reconstructed))
    real = (np.asarray(padded) != 0).any(axis=-1)
    residuals: dict[str, list[npt.NDArray[np.float32]]] = {"input": [], "output": []}
    for part in (slice(i, i + AT_ONCE) for i in range(0, len(real), AT_ONCE)):
        jets, outputs, kept = before[:, part], after[:, part], real[part]
        distance = sum((a[:, :, None] - b[:, None, :]) ** 2 for a, b in zip(jets, outputs))
        distance[~(kept[:, :, None] & kept[:, None, :])] = np.inf
        for side, axis in (("input", 2), ("output", 1)):
            nearest = distance.argmin(axis=axis)
            partner = np.take_along_axis(outputs if side == "input" else jets, nearest[None], axis=2)
            difference = partner - jets if side == "input" else outputs - partner
            residuals[side].append(difference[:, kept])
    joined = {side: np.concatenate(parts, axis=1) for side, parts in residuals.items()}
    return {side: {"pt": pt, "eta": eta, "phi": wrapped(phi)} for side, (eta, phi, pt) in joined.items()}


def _momenta(
    padded: npt.ArrayLike, spec: InputSpec, dtype: npt.DTypeLike = np.float64
) -> tuple[npt.NDArray[Any], ...]:
    """eta, phi and pt, (jets, n_particles), of a padded array of a spec."""
    lost = [f for f in ("eta", "phi", "pt") if f not in spec.features]
    if lost:
        raise SpecError(f"jets need {lost[0]} of their constituents: found {', '.join(spec.features)}")
    padded = np.asarray(padded)
    spec.check(padded)
    return tuple(np.asarray(padded[..., spec.features.index(f)], dtype) for f in ("eta", "phi", "pt"))
