"""Names in an ``.onnx`` file of hepvae: of the graph's input, outputs and free axes, and of its metadata.

Its outputs are those of the `ModelCard`: of a VAE `RECONSTRUCTION` and the `losses.LOSSES`.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = [
    "CARD_KEY",
    "DIGEST_KEY",
    "EXPORT_KEY",
    "INPUT",
    "JETS_AXIS",
    "LEAST_PARTICLES_KEY",
    "OURS",
    "PARTICLES_AXIS",
    "RECONSTRUCTION",
    "RECO_LOSSES",
    "RECO_LOSS_KEY",
    "SAVED_MODEL",
    "SAVED_MODEL_CARD",
    "TRAINED",
    "RecoLoss",
]

INPUT: Final = "particles"
RECONSTRUCTION: Final = "reconstruction"

#: Names of the axes that may have any size.
JETS_AXIS, PARTICLES_AXIS = "jets", "particles"

#: Keys of the metadata: the `ModelCard`; how the file was exported and checked;
CARD_KEY, EXPORT_KEY = "hepvae", "hepvae.export"
#: sha256 of all of the file but this entry;
DIGEST_KEY = "hepvae.sha256"
#: the shortest particle axis that the graph takes with the same losses;
LEAST_PARTICLES_KEY = "hepvae.least_particles"
#: and what ``reco_loss`` is: the Chamfer distance of all places, or of those with a particle.
RECO_LOSS_KEY = "hepvae.reco_loss"
RecoLoss = Literal["chamfer", "masked chamfer"]
RECO_LOSSES: tuple[RecoLoss, ...] = get_args(RecoLoss)

#: Folder, in the directory of an adopted model, of its TensorFlow form, and where that has its `ModelCard`.
SAVED_MODEL, SAVED_MODEL_CARD = "saved_model", "assets.extra/hepvae.json"

#: What is expected in the place of a model without a card.
OURS = "expected one of 'hepvae export', or of 'hepvae adopt', which takes models of others"

#: Names of the classes of the models that hepvae trains, in a ``.keras`` file.
TRAINED = ("hepvae>VAE", "hepvae>Density")
