"""Models of others beside the scripts of their authors."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.places import FOREIGN_MODELS

from hepvae import HepvaeError
from hepvae.bench import adopted

pytestmark = pytest.mark.skipif(not FOREIGN_MODELS.exists(), reason="models of others are not here")


@pytest.mark.slow
def test_both_sides_are_timed(monkeypatch):
    monkeypatch.setattr(
        adopted, "in_turns", lambda sides: {name: [float(len(side()))] for name, side in sides.items()}
    )
    found = adopted.measure(str(FOREIGN_MODELS), threads=1)
    assert sorted(found) == sorted(adopted.MODELS)
    assert all(sides["hepvae"] == sides["script"] > [1000] for sides in found.values())


def test_a_script_with_other_losses_is_an_error(monkeypatch):
    card, _ = adopted.MODELS["torch_jet_level"]
    monkeypatch.setattr(adopted, "MODELS", {"torch_jet_level": (card, lambda jets, run: np.zeros(len(jets)))})
    with pytest.raises(HepvaeError, match="torch_jet_level: its script has other losses"):
        adopted.measure(str(FOREIGN_MODELS), threads=1)
