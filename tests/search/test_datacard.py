"""Datacards: what other tools read gives our limit, in pyhf; Combine's syntax is checked row by row."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot
from scipy.stats import norm

from hepvae import OptionError
from hepvae.search.datacard import channels_of, pyhf_workspace, write_datacard
from hepvae.search.fits import fit_spectrum
from hepvae.search.limits import upper_limits
from hepvae.search.scans import COMBINED, Systematics
from hepvae.search.spectrum import BackgroundFunction, Spectrum, dijet_edges, signal_shape

EDGES = dijet_edges(1460, 5000)
SHARES = {"rest": 0.4, "eff10-1": 0.6}
MASS = 2500.0


@pytest.fixture(scope="module")
def narrow():
    u = norm.ppf((np.arange(20000) + 0.5) / 20000, 1, 0.04)
    return signal_shape({3000: (3000 * u, np.ones(20000))})


@pytest.fixture(scope="module")
def spectra():
    rng = np.random.default_rng(7)
    shape = BackgroundFunction.of_parameters(EDGES, (0, 8, 5, 0, 0))
    sizes = {"rest": 3e5, "eff10-1": 3e4}
    return {name: Spectrum(EDGES, rng.poisson(size * shape / shape.sum())) for name, size in sizes.items()}


def systematics(spectra):
    rates = {name: 0.002 * np.linspace(-1, 1, len(EDGES) - 1)[None] ** 2 for name in spectra}
    return Systematics(rates, {"eff10-1": np.array([30.0])}, scale=0.01, resolution=0.05, normalisation=0.1)


@pytest.fixture(scope="module")
def channels(narrow, spectra):
    fits = {name: fit_spectrum(one, n_parameters=3) for name, one in spectra.items()}
    shapes = dict.fromkeys(fits, narrow)
    return channels_of(fits, shapes, SHARES, MASS, 100.0, systematics(spectra), 0)


# pyhf 0.7 with newer versions of jsonschema
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
def test_limit_of_pyhf_is_ours(narrow, spectra, channels):
    pyhf = pytest.importorskip("pyhf")
    ours = upper_limits(spectra, narrow, [MASS], shares=SHARES, n_parameters=3, systematics=systematics(spectra))[
        COMBINED
    ]
    model = pyhf.Workspace(pyhf_workspace(channels, 0.1))
    one, data = model.model(), model.data(model.model())
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    try:
        scan = np.linspace(0.3, 2.2, 12) * ours.expected[2, 0] / 100
        observed, bands = pyhf.infer.intervals.upper_limits.upper_limit(data, one, scan=scan, level=0.05)
    finally:
        pyhf.set_backend("numpy")
    assert 100 * float(bands[2]) == pytest.approx(ours.expected[2, 0], rel=0.1)
    assert 100 * float(observed) == pytest.approx(ours.observed[0], rel=0.1)


def test_files_that_combine_reads(tmp_path, channels):
    card, shapes, workspace = write_datacard(tmp_path / "cards", channels, 0.1)
    lines = [line.split() for line in card.read_text().splitlines()]
    assert lines[0][:2] == ["imax", "2"] and lines[1][:2] == ["jmax", "1"] and lines[2][:2] == ["kmax", "*"]
    table = [line for line in lines if len(line) > 1]
    bins = next(line for line in table if line[0] == "bin" and len(line) == 5)
    processes = [line for line in table if line[0] == "process"]
    rates = next(line for line in table if line[0] == "rate")
    assert bins[1:] == ["rest", "rest", "eff10_1", "eff10_1"]
    assert processes[0][1:] == ["signal", "background"] * 2 and processes[1][1:] == ["0", "1"] * 2
    nuisances = {line[0]: line[2:] for line in table if line[1] in ("shape", "lnN")}
    assert nuisances["signal_normalisation"] == ["1.1000", "-", "1.1000", "-"]
    assert nuisances["jet_energy_scale"] == ["1", "-", "1", "-"]
    assert nuisances["pass_rate0"] == ["-", "1", "-", "1"]
    assert nuisances["eff10_1_spurious"] == ["-", "-", "-", "1"]
    assert [name for name in nuisances if name.startswith("rest_shape")] == [f"rest_shape{k}" for k in range(3)]
    free = {line[0]: line[2:] for line in table if line[1] == "rateParam"}
    assert free["rest_background"][:3] == ["rest", "background", "1"] and list(free) == [
        "rest_background",
        "eff10_1_background",
    ]
    for channel, (*_, ends) in zip(channels, free.values()):
        low, high = json.loads(ends)
        assert 0 < low < 1 - 5 / np.sqrt(channel.data.sum()) < 1 + 5 / np.sqrt(channel.data.sum()) < high
    with uproot.open(shapes) as file:
        for column, (name, process) in enumerate(zip(bins[1:], processes[0][1:])):
            nominal = file[f"{name}/{process}"]
            assert nominal.values().sum() == pytest.approx(float(rates[1 + column]), rel=1e-5)
            for nuisance, of in nuisances.items():
                if of[column] == "1":
                    for side in ("Up", "Down"):
                        assert (file[f"{name}/{process}_{nuisance}{side}"].values() > 0).all()
        assert file["rest/data_obs"].values().sum() == channels[0].data.sum()
        assert file["rest/data_obs"].axis().edges() == pytest.approx(EDGES)
    assert json.loads(workspace.read_text()) == pyhf_workspace(channels, 0.1)


def test_no_signal_no_datacard(narrow, spectra):
    fits = {name: fit_spectrum(one, n_parameters=3) for name, one in spectra.items()}
    nothing = dict.fromkeys(SHARES, 0.0)
    with pytest.raises(OptionError, match="datacard of a signal of 2500 GeV: no slice has any of it"):
        channels_of(fits, dict.fromkeys(fits, narrow), nothing, MASS, 1.0, Systematics(), 0)
