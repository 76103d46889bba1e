"""The samples and models that come with hepvae, from a checkout and from an installed wheel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import FileError
from ..jets.quality import pad_scorable
from ..jets.spec import InputSpec
from ..options import check_choice
from ..reading.dijets import read_dijets

__all__ = ["DETECTOR", "MODELS", "RESONANCES", "SAMPLES", "model_folder", "reference_jets", "sample_path"]

#: Bundled samples in the order of every table and plot, and what a legend calls them.
SAMPLES = {
    "qcdSide": "QCD, sideband",
    "qcdSig": "QCD, signal region",
    "GtoWW15na": r"$G_{RS} \to WW$, 1.5 TeV, narrow",
    "GtoWW15br": r"$G_{RS} \to WW$, 1.5 TeV, broad",
}

#: Mass in GeV of the resonance of each bundled signal.
RESONANCES = {"GtoWW15na": 1500.0, "GtoWW15br": 1500.0}

#: Bundled models.
MODELS = ("conv", "graph", "edge", "edge-dense", "graph-momenta", "graph-slots", "density")
#: The one that tells signals from QCD best.
DETECTOR = "density"

# In a checkout, a link to the folder at its top.
_DATA = (Path(__file__).parents[1] / "data").resolve()


def _bundled(*parts: str) -> Path:
    path = _DATA.joinpath(*parts)
    if not path.exists():
        raise FileError(f"{path} is missing in this installation of hepvae: install it anew")
    return path


def sample_path(name: str) -> Path:
    """The ROOT file of a bundled sample, one of `SAMPLES`.

    Examples
    --------
    >>> hepvae.sample_path("qcdSig").name
    'qcdSig.root'
    """
    return _bundled(f"{check_choice('sample', name, SAMPLES)}.root")


def model_folder(name: str) -> Path:
    """The directory of a bundled model, one of `MODELS`."""
    return _bundled("models", check_choice("model", name, MODELS))


#: Of a sample, to compare runtimes on.
EVENTS_OF_EACH = 250


def reference_jets(spec: InputSpec) -> npt.NDArray[np.float32]:
    """Padded jets (jets, n_particles, n_features) of all bundled samples."""
    events = (read_dijets(sample_path(name), entry_stop=EVENTS_OF_EACH, spec=spec) for name in SAMPLES)
    return np.concatenate([pad_scorable(e, spec) for e in events])
