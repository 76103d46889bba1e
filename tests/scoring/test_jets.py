"""`score_jets`: losses in the shape of the jets, whatever was done to them before."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import hepvae

RECORD = "{loss: float32, reco_loss: float32, kl_loss: float32}"


@pytest.fixture(scope="module")
def jets():
    """Two an event, jagged, with the place of each in its event."""
    jets = ak.from_regular(hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=300).jets)
    return ak.with_field(jets, ak.local_index(jets, axis=1), "index")


@pytest.fixture(scope="module")
def loss(jets, conv):
    return hepvae.score_jets(jets, conv).loss


def test_they_are_those_of_the_events(conv):
    events = hepvae.read_dijets(hepvae.sample_path("GtoWW15na"), entry_stop=300)
    losses, scored = hepvae.score_jets(events.jets, conv), hepvae.score_dijets(events, conv)
    assert str(losses.type) == f"300 * 2 * {RECORD}"
    for name in losses.fields:
        for i in (0, 1):
            assert ak.array_equal(losses[name][:, i], scored[f"j{i + 1}_{name}"])


def test_each_jet_keeps_its_loss_through_smearing_sorting_and_masks(jets, loss, conv, rng):
    smeared = ak.with_field(jets, jets.pt * ak.unflatten(rng.normal(1, 0.1, 600), ak.num(jets)), "pt")
    light_first = smeared[ak.argsort(smeared.mass)]
    chosen = light_first[light_first.mass > 60]
    assert 0 < ak.count(chosen.pt) < 600
    assert ak.array_equal(hepvae.score_jets(chosen, conv).loss, loss[chosen["index"]])


SHAPES = {
    "flat": (lambda jets: ak.flatten(jets), lambda n: f"{n} * {RECORD}"),
    "jagged": (lambda jets: jets[jets.mass > 60], lambda n: f"{n} * var * {RECORD}"),
    "one an event or none": (lambda jets: ak.firsts(jets[jets.mass > 100]), lambda n: f"{n} * ?{RECORD}"),
    "jets masked": (lambda jets: jets.mask[jets.mass > 60], lambda n: f"{n} * var * ?{RECORD}"),
    "events masked": (
        lambda jets: ak.mask(jets, np.arange(len(jets)) % 2 == 0),
        lambda n: f"{n} * option[var * {RECORD}]",
    ),
    "padded": (lambda jets: ak.pad_none(jets, 3, clip=True), lambda n: f"{n} * 3 * ?{RECORD}"),
    "joined": (lambda jets: ak.concatenate([jets[:, 1:], jets[:, :1]], axis=1), lambda n: f"{n} * var * {RECORD}"),
    "nested": (lambda jets: ak.unflatten(jets, [100, 200]), lambda n: f"{n} * var * var * {RECORD}"),
    "none": (lambda jets: jets[:0], lambda n: f"{n} * var * {RECORD}"),
    "no jets in events": (lambda jets: jets[:, :0], lambda n: f"{n} * var * {RECORD}"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_losses_have_the_shape_of_the_jets(shape, jets, loss, conv):
    into, kind = SHAPES[shape]
    marked = ak.with_field(jets, loss, "loss_before")
    shaped = into(marked)
    losses = hepvae.score_jets(shaped, conv)
    assert str(losses.type) == kind(len(shaped))
    assert ak.to_list(losses.loss) == ak.to_list(shaped.loss_before)


def test_what_cannot_be_scored_is_counted_once_and_nan(jets, loss, conv):
    """A jet that was cut before is not counted, nor is one twice that stands in two places."""
    first = jets["index"] == 0
    emptied = ak.with_field(jets, jets.constituents[first & (jets.constituents.pt >= 0)], "constituents")[:10]
    with pytest.warns(hepvae.UnscoredJetsWarning, match=r"^10 of 20 jets .* 10 without constituents$"):
        losses = hepvae.score_jets(emptied, conv)
    assert ak.array_equal(losses.loss[:, 0], loss[:10, 0]) and ak.all(np.isnan(losses.loss[:, 1]))
    twice = emptied[[3, 3, 4]]
    with pytest.warns(hepvae.UnscoredJetsWarning, match=r"^2 of 4 jets"):
        losses = hepvae.score_jets(twice, conv)
    assert ak.array_equal(losses.loss[:, 0], loss[[3, 3, 4], 0])
    hepvae.score_jets(emptied[:, :1], conv)  # warnings are errors


def test_jets_put_together_from_columns_with_none(jets, loss, conv):
    """`ak.zip` of masked columns has None inside of the jets, where no network may look."""
    masked = jets.mask[jets["index"] == 0]
    zipped = ak.zip({name: masked[name] for name in ("eta", "phi", "constituents")}, depth_limit=2)
    with pytest.warns(hepvae.UnscoredJetsWarning, match=r"^300 of 600 jets"):
        losses = hepvae.score_jets(zipped, conv)
    assert ak.array_equal(losses.loss[:, 0], loss[:, 0]) and ak.all(np.isnan(losses.loss[:, 1]))


def test_lazy_jets(jets, loss, conv):
    """Their type is known without a model that runs; only what the network takes is needed."""
    dask_awkward = pytest.importorskip("dask_awkward")
    lazy = dask_awkward.from_awkward(jets, npartitions=3)
    losses = hepvae.score_jets(lazy, conv)
    assert str(losses.type).endswith(f"var * {RECORD}")
    assert ak.array_equal(losses.loss.compute(scheduler="sync"), loss)


@pytest.mark.parametrize(
    ("of_jets", "given"),
    [
        (lambda jets: ak.zip({"jets": jets}, depth_limit=1), "jets"),
        (lambda jets: jets.constituents, "pt, eta, phi"),
        (lambda jets: [1.0], "list"),
        (lambda jets: None, "NoneType"),
        (lambda jets: jets[0, 0], "pt, eta, phi, mass, constituents, index"),
    ],
)
def test_what_are_no_jets(of_jets, given, jets, conv):
    with pytest.raises(hepvae.SpecError, match=rf"no jets with constituents \({given}\): expected"):
        hepvae.score_jets(of_jets(jets), conv)


def test_a_name_is_no_inferer(jets):
    with pytest.raises(hepvae.OptionError, match=r"expected hepvae.load_inferer\('conv'\)"):
        hepvae.score_jets(jets, "conv")
