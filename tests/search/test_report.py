"""What the report calls things."""

from __future__ import annotations

from hepvae.search.report import signal_name


def test_injected_signal_has_the_mass_that_is_injected():
    """A signal injected at 2.5 TeV was labelled "1.5 TeV, narrow", which is the mass of its sample."""
    assert signal_name("GtoWW15na", 2500.0) == r"$G_{RS} \to WW$, 2.5 TeV, narrow"
    assert signal_name("GtoWW15na") == r"$G_{RS} \to WW$, narrow"
    assert signal_name("X $5", 1500.0) == r"X \$5, 1.5 TeV"
    assert signal_name("X") == "X"
