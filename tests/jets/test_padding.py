"""Padding: held against a slow loop, and for every form of array that awkward can hand over."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from helpers.reference import pad_one_by_one

import hepvae
from hepvae import InputSpec, pad_particles

SPECS = [
    InputSpec(),
    InputSpec(n_particles=3),
    InputSpec(n_particles=250),
    InputSpec(features=("pt", "phi")),
    InputSpec(n_particles=30, coordinates="absolute"),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
@pytest.mark.parametrize("sample", ["qcdSide", "GtoWW15na"])
def test_same_as_one_by_one(sample, spec):
    events = hepvae.read_dijets(hepvae.sample_path(sample), entry_stop=40)
    padded = pad_particles(events, spec)
    assert padded.shape == (40, 2, *spec.shape)
    assert padded.dtype == np.float32
    expected = pad_one_by_one(ak.flatten(events.jets).to_list(), spec)
    assert np.allclose(padded.reshape(-1, *spec.shape), expected, atol=1e-6)


def test_same_as_one_by_one_in_any_order(dijet_file):
    """Files of the tests have shuffled, shared and missing constituents."""
    events = hepvae.read_dijets(dijet_file)
    expected = pad_one_by_one(ak.flatten(events.jets).to_list(), InputSpec())
    assert np.allclose(pad_particles(events, InputSpec()).reshape(expected.shape), expected, atol=2e-6)


def test_forms_of_input_agree(signal_events):
    spec = InputSpec()
    by_event = pad_particles(signal_events, spec)
    assert np.array_equal(pad_particles(signal_events.jets, spec), by_event)
    assert np.array_equal(pad_particles(ak.flatten(signal_events.jets), spec), by_event.reshape(-1, 100, 3))
    absolute = InputSpec(coordinates="absolute")
    bare = pad_particles(signal_events.jets.constituents, absolute)
    assert np.array_equal(bare, pad_particles(signal_events, absolute))
    flat = pad_particles(ak.flatten(signal_events.jets.constituents), absolute)
    assert np.array_equal(flat, bare.reshape(-1, 100, 3))


def test_bare_constituents_are_relative_to_their_momentum(signal_events):
    """Without a jet its axis is the sum of the constituents, which is what a jet's axis is."""
    bare = pad_particles(signal_events.jets.constituents, InputSpec())
    assert np.allclose(bare, pad_particles(signal_events, InputSpec()), atol=3e-3)


@pytest.mark.parametrize(
    "view",
    [
        lambda events: events[10:20],
        lambda events: events[::-3],
        lambda events: events[[5, 1, 5]],
        lambda events: events[np.arange(len(events)) % 2 == 0],
        lambda events: events[:0],
        lambda events: ak.concatenate([events[3:5], events[:2]]),
        lambda events: ak.drop_none(ak.mask(events, np.arange(len(events)) > 4)),
        lambda events: ak.to_packed(events[7:9]),
    ],
    ids=["slice", "stride", "index", "mask", "empty", "concatenated", "option", "packed"],
)
def test_views_of_an_array(signal_events, view):
    """What users saw elsewhere: the offsets of a parent array used for a selection of it."""
    viewed = view(signal_events)
    expected = pad_one_by_one(ak.flatten(viewed.jets).to_list(), InputSpec())
    assert np.allclose(pad_particles(viewed, InputSpec()).reshape(expected.shape), expected, atol=1e-6)


def test_masked_constituents_are_left_out(signal_events):
    constituents = signal_events.jets.constituents
    hard = constituents.pt > 2
    kept = pad_particles(ak.with_field(signal_events.jets, constituents[hard], "constituents"), InputSpec())
    masked = ak.mask(constituents, hard)
    option = pad_particles(ak.with_field(signal_events.jets, masked, "constituents"), InputSpec())
    assert np.array_equal(option, kept)


def test_constituents_with_a_missing_value_are_left_out():
    """Masked columns zipped together: each value is an option of its own."""
    pt, eta, phi = ([[3.0, 2.0, 1.0], []], [[0.1, None, 0.3], []], [[0.1, 0.2, 0.3], []])
    spec = InputSpec(3, coordinates="absolute")
    with pytest.warns(hepvae.UnscoredJetsWarning, match="1 of 2 jets have no constituents"):
        padded = pad_particles(ak.zip({"pt": pt, "eta": eta, "phi": phi}), spec)
    assert padded[0, :, 2].tolist() == [3, 1, 0]
    assert not padded[1].any()


def test_missing_jets_are_an_error(signal_events):
    masked = ak.mask(signal_events, np.arange(len(signal_events)) > 4)
    with pytest.raises(hepvae.DataError, match="missing"):
        pad_particles(masked, InputSpec())


def test_equal_pt_keeps_the_order_of_the_file():
    constituents = ak.zip({"pt": [[1.0, 2.0, 1.0, 2.0]], "eta": [[1.0, 2.0, 3.0, 4.0]], "phi": [[0.0] * 4]})
    padded = pad_particles(constituents, InputSpec(4, coordinates="absolute"))
    assert padded[0, :, 0].tolist() == [2, 4, 1, 3]


def test_phi_is_wrapped_at_the_border():
    jets = ak.zip({"pt": [9.0], "eta": [0.0], "phi": [3.1], "mass": [1.0]})
    jets["constituents"] = ak.zip({"pt": [[2.0, 1.0]], "eta": [[0.0, 0.0]], "phi": [[-3.1, 3.0]]})
    assert np.allclose(pad_particles(jets, InputSpec(2))[0, :, 1], [2 * np.pi - 6.2, -0.1], atol=1e-6)


def test_rotation_about_the_beam_changes_nothing(signal_events):
    def turned(events, angle):
        jets = events.jets
        constituents = ak.with_field(
            jets.constituents, (jets.constituents.phi + angle + np.pi) % (2 * np.pi) - np.pi, "phi"
        )
        jets = ak.with_field(jets, (jets.phi + angle + np.pi) % (2 * np.pi) - np.pi, "phi")
        return ak.with_field(events, ak.with_field(jets, constituents, "constituents"), "jets")

    for angle in (0.5, np.pi, -2.0):
        padded = pad_particles(turned(signal_events, angle), InputSpec())
        assert np.allclose(padded, pad_particles(signal_events, InputSpec()), atol=2e-6)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pt", np.nan, "pt is nan in jet 1"),
        ("eta", np.inf, "eta is inf in jet 1"),
        ("pt", -1.0, "pt is -1.0 in jet 1"),
    ],
)
def test_values_that_are_no_physics(field, value, message):
    columns = {c: ak.Array([[1.0], [2.0, 3.0]]) for c in ("pt", "eta", "phi")}
    columns[field] = ak.Array([[1.0], [2.0, value]])
    with pytest.raises(hepvae.DataError, match=message):
        pad_particles(ak.zip(columns), InputSpec())


@pytest.mark.parametrize("field", ["eta", "phi"])
def test_axis_that_is_not_finite_is_refused(signal_events, field):
    """Its constituents became NaN, and so did the losses, without a word."""
    jets = ak.with_field(signal_events.jets[:2], [[0.0, 0.0], [np.nan, 0.0]], field)
    with pytest.raises(hepvae.DataError, match=f"{field} of the axis of jet 2 is nan"):
        pad_particles(jets, InputSpec())


def test_arrays_of_another_form_are_refused():
    with pytest.raises(hepvae.SpecError, match="no field 'eta'"):
        pad_particles(ak.Array([{"pt": [1.0]}]), InputSpec())
    with pytest.raises(hepvae.SpecError, match="1 axes"):
        pad_particles(ak.zip({c: [1.0] for c in ("pt", "eta", "phi")}), InputSpec())


def test_what_is_no_awkward_array_or_no_spec(signal_events):
    with pytest.raises(hepvae.SpecError, match="as an awkward array; found list"):
        pad_particles(signal_events[:1].tolist(), InputSpec())
    with pytest.raises(hepvae.SpecError, match=r"spec is str: expected an InputSpec, as inferer\.spec"):
        pad_particles(signal_events[:1], "conv")


def test_jets_without_constituents_are_told(signal_events):
    """A model gave their zeros a loss as to any jet, and nobody heard of them."""
    jets = ak.flatten(signal_events.jets[:2])
    few = ak.with_field(jets, jets.constituents[ak.Array([[], [0], [0], []])], "constituents")
    with pytest.warns(hepvae.UnscoredJetsWarning, match="2 of 4 jets have no constituents"):
        assert not pad_particles(few, InputSpec())[[0, 3]].any()
