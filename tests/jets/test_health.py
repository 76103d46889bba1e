"""The health of jets, against a plain loop over them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from helpers.dijet_files import random_tables, write_events

import hepvae
from hepvae.jets.health import Health
from hepvae.reading.options import ReadOptions
from hepvae.scoring.inspection import inspect_files

LIMIT = 60


def plain_loop(events):
    """The same figures, jet by jet."""
    found = {"jets": 0, "good": 0, "truncated": 0, "kept": 0.0, "all": 0.0, "ratios": []}
    for event in events:
        for jet in event.jets:
            found["jets"] += 1
            pt = sorted((float(p) for p in jet.constituents.pt), reverse=True)
            values = [*pt, *jet.constituents.eta, *jet.constituents.phi]
            if not any(pt) or not np.all(np.isfinite(values)) or min(pt) < 0:
                continue
            found["good"] += 1
            found["truncated"] += len(pt) > LIMIT
            found["kept"] += sum(pt[:LIMIT])
            found["all"] += sum(pt)
            found["ratios"].append(sum(pt) / float(jet.pt))
    return found


def check(health, expected):
    assert (health.jets, health.good, health.truncated) == tuple(
        expected[k] for k in ("jets", "good", "truncated")
    )
    assert health.truncated_share == expected["truncated"] / expected["good"]
    assert health.pt_kept == pytest.approx(expected["kept"] / expected["all"])
    assert health.pt_ratio == pytest.approx((np.mean(expected["ratios"]), np.std(expected["ratios"])))


@pytest.mark.parametrize("step_size", ["100 MB", 7], ids=str)
def test_same_as_a_plain_loop(tmp_path, rng, step_size):
    tables = random_tables(rng, events=40, jets=(0, 4), constituents=(0, 150))
    for event, value in ((3, np.nan), (4, -1.0), (9, np.inf)):
        tables["candidates"]["pt"][event][:1] = value
    path = write_events(tmp_path / "a.root", tables)
    (report,) = inspect_files(path, ReadOptions(step_size=step_size), LIMIT)
    events = hepvae.read_dijets(path)
    check(report.health, plain_loop(events))
    assert (report.events_read, report.events_kept) == (40, len(events))
    assert report.health.good < report.health.jets == sum(report.health.unscorable.values()) + report.health.good
    assert report.schema == "nanoaodv15"


@pytest.mark.parametrize("name", ["pfnano.root", "nano_tt_v15.root", "pfnano_rntuple.root"])
def test_real_cms_files_same_as_a_plain_loop(real_data, name):
    (report,) = inspect_files(real_data / name, n_particles=LIMIT)
    check(report.health, plain_loop(hepvae.read_dijets(real_data / name)))


def test_bundled_samples_are_healthy():
    """Constituents of a jet add up to its pt, as those of NanoAODv15 do."""
    (report,) = inspect_files(hepvae.sample_path("qcdSide"))
    mean, deviation = report.health.pt_ratio
    assert mean == pytest.approx(1, abs=0.05) and deviation < 0.05
    assert report.health.pt_kept > 0.99 and report.health.unscorable == {}


def test_health_of_parts_adds_up(signal_events):
    whole, parts = Health(30), Health(30)
    whole.add(signal_events)
    for part in (signal_events[:17], signal_events[17:17], signal_events[17:]):
        one = Health(30)
        one.add(part)
        parts.merge(one)
    assert (parts.good, parts.truncated) == (whole.good, whole.truncated)
    assert parts.pt_ratio == pytest.approx(whole.pt_ratio)
    assert str(whole).startswith(f"{whole.truncated_share:.1%} of 120 jets have more than 30 constituents")


def test_no_jets_at_all(signal_events):
    nothing = Health()
    nothing.add(signal_events[:0])
    assert str(nothing) == "none of 0 jets can be scored"
    assert np.isnan(nothing.pt_kept) and np.isnan(nothing.truncated_share)


def test_file_that_cannot_be_read_has_its_failure(tmp_path, rng):
    (tmp_path / "bad.root").write_text("notes")
    write_events(tmp_path / "good.root", random_tables(rng))
    bad, good = inspect_files(tmp_path)
    assert "not a ROOT file" in bad.failure and good.failure is None
    with pytest.raises(hepvae.OptionError, match="n_particles is 0"):
        inspect_files(tmp_path, n_particles=0)


def test_scoring_reports_it(tmp_path):
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    files = [hepvae.sample_path(name) for name in ("GtoWW15na", "GtoWW15br")]
    report = hepvae.score_files(files, inferer, tmp_path / "s.root")
    expected = Health()
    for file in files:
        expected.add(hepvae.select_dijets(hepvae.read_dijets(file)))
    assert str(expected) in str(report)
    assert ak.sum([file.health.good for file in report.files]) == expected.good


def test_models_of_jet_observables_leave_nothing_out():
    """Of a model of jet observables it was said that 100 % of the jets have more than 1 constituents."""
    events = hepvae.read_dijets(hepvae.sample_path("qcdSig"), entry_stop=10)
    health = Health.of(hepvae.InputSpec(1, (), jet_features=("girth",)))
    health.add(events)
    assert (health.truncated, health.pt_kept) == (0, 1)
    assert str(health).startswith("20 jets: sum of constituent pt over jet pt 1.0")
    assert Health.of(hepvae.InputSpec(30)).n_particles == 30
