"""Models of others, adopted, beside the scripts in which their authors would run them.

Measured in a process of its own: from ragged jets to losses, in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from ..conversion.adoption import adopt
from ..errors import HepvaeError
from ..extras import require
from ..inference import load_inferer
from ..models.bundled import sample_path
from ..reading.dijets import read_dijets
from ..scoring.jets import score_jets
from .pipeline import in_turns
from .processes import Answer

__all__ = ["measure"]

Array = npt.NDArray[Any]
#: Of the scripts.
BATCH = 1024


def _sorted(jets: ak.Array) -> ak.Array:
    """Constituents by falling pt."""
    return jets.constituents[ak.argsort(jets.constituents.pt, axis=-1, ascending=False)]


def _deta_dphi(jets: ak.Array, parts: ak.Array) -> tuple[ak.Array, ak.Array]:
    return parts.eta - jets.eta, (parts.phi - jets.phi + np.pi) % (2 * np.pi) - np.pi


def _padded(column: ak.Array, particles: int) -> Array:
    padded = ak.to_numpy(ak.fill_none(ak.pad_none(column, particles, axis=-1, clip=True), 0))
    return np.asarray(padded, np.float32)


def _scaled(table: list[tuple[ak.Array, float, float]], particles: int) -> Array:
    """Features (jets, features, particles), transformed and padded."""
    scaled = (np.minimum(np.maximum((column - center) * factor, -5), 5) for column, center, factor in table)
    return np.stack([_padded(column, particles) for column in scaled], axis=1)


def _conv_ae(jets: ak.Array, run: Callable[..., Array]) -> Array:
    parts = _sorted(jets)
    deta, dphi = _deta_dphi(jets, parts)
    x = _scaled([(np.log(parts.pt), 1.7, 0.7), (deta, 0, 2), (dphi, 0, 2)], 50)
    return np.asarray(np.mean((run(x=x) - x) ** 2, axis=(1, 2)))


def _jet_level(jets: ak.Array, run: Callable[..., Array]) -> Array:
    parts = jets.constituents
    share = parts.pt / ak.sum(parts.pt, axis=-1)
    girth = ak.sum(share * np.hypot(*_deta_dphi(jets, parts)), axis=-1)
    values = (jets.pt, jets.mass, ak.num(parts), np.sqrt(ak.sum(share**2, axis=-1)), girth)
    center, width = np.transpose(list(_JET_FEATURES.values()))
    x = np.stack([ak.to_numpy(v) for v in values], axis=-1)
    x = ((x - center) / width).astype(np.float32)
    return np.asarray(np.mean((run(features=x) - x) ** 2, axis=1))


def _score(jets: ak.Array, run: Callable[..., Array]) -> Array:
    parts = _sorted(jets)
    deta, dphi = _deta_dphi(jets, parts)
    share = parts.pt / jets.pt
    energy = np.sqrt((parts.pt * np.cosh(parts.eta)) ** 2 + parts.mass**2)
    table = [(np.log(parts.pt), 1.7, 0.7), (np.log(energy), 2, 0.7), (np.log(share), -4.7, 0.7), (share, 0, 1)]
    features = _scaled([*table, (np.hypot(deta, dphi), 0.2, 4)], 64)
    points = np.stack([_padded(column, 64) for column in (deta, dphi)], axis=1)
    mask = _padded(ak.ones_like(deta), 64)[:, np.newaxis]
    return run(pf_points=points, pf_features=features, pf_mask=mask).ravel()


#: Center and width of each.
_JET_FEATURES = {
    "pt": (982.048, 396.1868),
    "mass": (132.741, 83.8138),
    "multiplicity": (66.445, 29.2328),
    "pt_dispersion": (0.301, 0.098),
    "girth": (0.091, 0.0797),
}
_MSE = {"loss": {"reco": "mse"}}
_CONV_AE = {
    "input": {
        **{"tensor": "x", "axes": "jets, features, particles"},
        "features": [["log_pt", 1.7, 0.7, -5, 5], ["deta", 0, 2, -5, 5], ["dphi", 0, 2, -5, 5]],
    },
    "output": {"reconstruction": "y"},
    **_MSE,
}
_JET_LEVEL = {
    "input": {
        "level": "jet",
        "features": [[name, center, 1 / width] for name, (center, width) in _JET_FEATURES.items()],
    },
    "output": {"reconstruction": "reconstruction"},
    **_MSE,
}
_SCORE = {"preprocess": "preprocess.json", "output": {"score": "score"}}
#: By the name of their folder: the card, and the script. Others in it are left out.
MODELS: dict[str, tuple[dict[str, Any], Callable[[ak.Array, Callable[..., Array]], Array]]] = {
    "torch_conv_ae": (_CONV_AE, _conv_ae),
    "torch_jet_level": (_JET_LEVEL, _jet_level),
    "torch_score": (_SCORE, _score),
}


def _one(folder: Path, threads: int, scratch: Path) -> dict[str, list[float]]:
    """Seconds of both sides in each round."""
    runtime = require("onnxruntime", "models of others")
    (file,) = folder.glob("*.onnx")
    card, script = MODELS[folder.name]
    card = {"name": folder.name, **card}
    if "preprocess" in card:
        card["preprocess"] = str(folder / card["preprocess"])
    output = scratch / folder.name
    adopt(file, card, output=output, jets=[sample_path("qcdSig")])
    inferer = load_inferer(output, threads=threads)
    session = runtime.InferenceSession(file)
    events = read_dijets(sample_path("qcdSig"), spec=inferer.spec)
    jets = ak.to_packed(ak.flatten(events.jets))

    def run(**inputs: Array) -> Array:
        size = len(next(iter(inputs.values())))
        parts = [
            session.run(None, {name: values[i : i + BATCH] for name, values in inputs.items()})[0]
            for i in range(0, size, BATCH)
        ]
        return np.concatenate(parts)

    name = inferer.card.losses[0]
    ours, theirs = ak.to_numpy(score_jets(jets, inferer)[name]), script(jets, run)
    if not np.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(np.median(abs(theirs)))):
        raise HepvaeError(f"{folder}: its script has other losses than hepvae")
    return in_turns({"hepvae": partial(score_jets, jets, inferer), "script": partial(script, jets, run)})


def measure(folder: str, threads: int) -> Answer:
    """Seconds of both sides in each round, by model."""
    with tempfile.TemporaryDirectory() as scratch:
        found = (Path(folder, name) for name in MODELS)
        return {path.name: _one(path, threads, Path(scratch)) for path in found if path.is_dir()}
