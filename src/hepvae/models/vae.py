"""The VAE around an encoder and a decoder: losses, sampling in training only, saving with its card."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import ops

from ..errors import HepvaeError, ModelError, one_line
from . import MASKED, architecture, gradients, hyperparameters
from .card import ModelCard
from .contract import OURS, TRAINED
from .density import Density
from .jet_model import JetModel, Mask
from .losses import DISTANCES, chamfer, chamfer_by_product, check_distance, kl_divergence, points

__all__ = ["VAE", "check_weights", "load_vae", "new_model"]


@keras.saving.register_keras_serializable("hepvae")
class VAE(JetModel):
    """A variational autoencoder of jets.

    Its configuration is its `ModelCard`: the .keras file carries it, and the model is built from it.

    Parameters
    ----------
    card : ModelCard

    Notes
    -----
    Called on padded jets (jets, n_particles, n_features) it gives a dict of ``loss``, ``reco_loss``,
    ``kl_loss`` (jets,) and ``reconstruction`` (jets, n_particles, n_features). The decoder sees a
    sample of the latent distribution in training, and its mean everywhere else. ``by_product`` is the form of
    the losses that exported models have: `chamfer_by_product`.
    """

    def __init__(self, card: ModelCard, **kwargs: Any) -> None:
        super().__init__(card, **kwargs)
        check_distance(card.distance, card.spec)
        values = hyperparameters(card.architecture, card.hyperparameters)
        row = architecture(card.architecture)
        self.encoder, self.decoder = row.build(card, **values)
        self._aligned = row.aligned
        self._pt = card.spec.features.index("pt") if "pt" in card.spec.features else None
        if card.architecture in MASKED and self._pt is not None:
            self.mask = Mask(self._pt, name="mask")
            self.any_length = self.encoder.input_shape[1] is None
        self._noise = keras.random.SeedGenerator()
        self.built = True  # encoder and decoder are, already

    def call(self, particles: Any, training: bool = False, by_product: bool = False) -> dict[str, Any]:
        latent = self.encoder(particles, training=training)
        z_mean, z_log_var = latent["z_mean"], latent["z_log_var"]
        z = z_mean
        if training:
            z = z + ops.exp(0.5 * z_log_var) * keras.random.normal(ops.shape(z), seed=self._noise)
        mask = None if self.mask is None else self.mask(particles)
        reconstruction = self.decoder(z if mask is None else {"z": z, "mask": mask}, training=training)
        spec, distance = self.card.spec, self.card.distance
        first, second = (points(x, spec, distance, ops) for x in (particles, reconstruction))
        if training and self._aligned:
            pairs = ops.sum(ops.square(first - second), axis=2) * mask
            reco_loss = 2.0 * ops.sum(pairs, axis=1) / ops.sum(mask, axis=1)
        elif training:
            reco_loss = gradients.chamfer(first, second, mask)
        elif by_product and DISTANCES[distance].by_product:
            # Coordinates made of pt and directions are small beside pt: their squares keep what they need.
            pt = None if DISTANCES[distance].place else self._pt
            reco_loss = chamfer_by_product(first, second, ops, mask, pt)
        else:
            reco_loss = chamfer(first, second, ops, mask)
        kl_loss = kl_divergence(z_mean, z_log_var, ops, mask)
        return {
            "loss": reco_loss + self.card.beta * kl_loss,
            "reco_loss": reco_loss,
            "kl_loss": kl_loss,
            "reconstruction": reconstruction,
        }


def new_model(card: ModelCard, name: str | None = None) -> JetModel:
    """A model that is not trained yet, of the architecture that the card names."""
    kind = VAE if architecture(card.architecture).is_vae else Density
    return kind(card, name=name)


def load_vae(path: str | Path) -> JetModel:
    """Load a .keras file.

    Only the card of its configuration and its weights are read: no class that the file names is looked up, and
    no function in it.

    Raises
    ------
    ModelError
        The file is no model of hepvae.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such model file")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: not a model that hepvae can load: expected a .keras file of 'hepvae train'")
    try:
        with zipfile.ZipFile(path) as archive:
            config, weights = (_member(archive, name) for name in ("config.json", "model.weights.h5"))
        config = json.loads(config)
        if config.get("registered_name") not in TRAINED:
            raise ModelError(f"a Keras {config.get('class_name')}, not a model of hepvae: {OURS}")
        card, held = ModelCard.from_dict(config["config"]["card"]), check_weights(weights)
        values = hyperparameters(card.architecture, card.hyperparameters)
        least = architecture(card.architecture).least_weights(card.spec, values)
        if least > held:  # before memory is taken for them
            raise ModelError(f"its card is of a model with {least} weights or more, and it has {held}")
        model = new_model(card, config["config"].get("name"))
        model.load_weights(path)
    except HepvaeError as error:
        raise ModelError(f"{path}: {error}") from error
    # zipfile, h5py and Keras raise whatever their reading of a foreign file runs into.
    except Exception as error:
        raise ModelError(f"{path}: not a model that hepvae can load: {one_line(error)}") from error
    return model


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file in a .keras file; Keras stores them as they are, so that none is larger than the whole."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ModelError(f"{name} in it is compressed: expected it stored, as Keras does")
    return archive.read(info)


def check_weights(weights: bytes) -> int:
    """How many values weights have.

    Raises
    ------
    ModelError
        Reading them would read other files, or give more than the file holds.
    """
    foreign: list[str] = []  # h5py lets no exception out of a visit
    sizes: list[int] = []

    def check_link(name: str, link: Any) -> None:
        if not isinstance(link, h5py.HardLink):
            foreign.append(name)

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size or 0)
            if item.external or item.is_virtual or item.nbytes > item.id.get_storage_size():
                foreign.append(name)

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems_links(check_link)
        file.visititems(check)
    if foreign:
        raise ModelError(f"weights {foreign[0]!r} are not in the file itself")
    return sum(sizes)
