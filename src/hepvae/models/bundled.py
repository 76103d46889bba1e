"""The samples and models that come with hepvae, from a checkout and from an installed wheel."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileError, OptionError

__all__ = ["MODELS", "RESONANCES", "SAMPLES", "model_folder", "sample_path"]

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
MODELS = ("conv", "graph", "edge", "edge-dense", "graph-momenta")

# In a checkout, a link to the folder at its top.
_DATA = (Path(__file__).parents[1] / "data").resolve()


def _bundled(*parts: str) -> Path:
    path = _DATA.joinpath(*parts)
    if not path.exists():
        raise FileError(f"{path} is missing in this installation of hepvae: install it anew")
    return path


def sample_path(name: str) -> Path:
    """The ROOT file of a bundled sample, one of `SAMPLES`."""
    if name not in SAMPLES:
        raise OptionError(f"sample {name!r} is unknown: expected one of {', '.join(SAMPLES)}")
    return _bundled(f"{name}.root")


def model_folder(name: str) -> Path:
    """The directory of a bundled model, one of `MODELS`."""
    if name not in MODELS:
        raise OptionError(f"model {name!r} is unknown: expected one of {', '.join(MODELS)}")
    return _bundled("models", name)
