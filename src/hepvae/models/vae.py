"""The VAE around an encoder and a decoder: losses, sampling in training only, saving with its card."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import h5py
import keras
from keras import ops

from ..errors import HepvaeError, ModelError, one_line
from . import MASKED, architecture, hyperparameters
from .card import ModelCard
from .layers import Mask
from .losses import DISTANCES, LOSSES, chamfer, chamfer_by_product, check_distance, kl_divergence, points

__all__ = ["VAE", "load_vae"]


@keras.saving.register_keras_serializable("hepvae")
class VAE(keras.Model):
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

    def __init__(self, card: ModelCard, **kwargs):
        super().__init__(**kwargs)
        self.card = card
        check_distance(card.distance, card.spec)
        made = architecture(card.architecture)
        self.encoder, self.decoder = made.build(card, **hyperparameters(card.architecture, card.hyperparameters))
        self._pt = card.spec.features.index("pt") if "pt" in card.spec.features else None
        self.mask = Mask(self._pt, name="mask") if card.architecture in MASKED else None
        self._noise = keras.random.SeedGenerator()
        self._means = {name: keras.metrics.Mean(name=name) for name in LOSSES}
        self.built = True  # encoder and decoder are, already

    def call(self, particles, training=False, by_product=False):
        latent = self.encoder(particles, training=training)
        z_mean, z_log_var = latent["z_mean"], latent["z_log_var"]
        z = z_mean
        if training:
            z = z + ops.exp(0.5 * z_log_var) * keras.random.normal(ops.shape(z), seed=self._noise)
        mask = None if self.mask is None else self.mask(particles)
        reconstruction = self.decoder(z if mask is None else {"z": z, "mask": mask}, training=training)
        spec, distance = self.card.spec, self.card.distance
        places = [points(x, spec, distance, ops) for x in (particles, reconstruction)]
        if by_product:
            # Transverse momenta are small beside pt: their squares keep what they need.
            pt = None if DISTANCES[distance].transverse else self._pt
            reco_loss = chamfer_by_product(*places, ops, mask, pt)
        else:
            reco_loss = chamfer(*places, ops, mask)
        kl_loss = kl_divergence(z_mean, z_log_var, ops)
        return {
            "loss": reco_loss + self.card.beta * kl_loss,
            "reco_loss": reco_loss,
            "kl_loss": kl_loss,
            "reconstruction": reconstruction,
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        for name, mean in self._means.items():
            mean.update_state(y_pred[name])
        return ops.mean(y_pred["loss"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()

    @property
    def metrics(self):
        return list(self._means.values())

    def get_config(self):
        return {"name": self.name, "card": self.card.to_dict()}

    @classmethod
    def from_config(cls, config):
        return cls(ModelCard.from_dict(config["card"]), name=config.get("name"))


def load_vae(path) -> VAE:
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
    try:
        with zipfile.ZipFile(path) as archive:
            config, weights = (_member(archive, name) for name in ("config.json", "model.weights.h5"))
        config = json.loads(config)
        if config.get("registered_name") != "hepvae>VAE":
            raise ModelError(f"a Keras {config.get('class_name')}, not a VAE of hepvae")
        _check_weights(weights)
        model = VAE(ModelCard.from_dict(config["config"]["card"]), name=config["config"].get("name"))
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


def _check_weights(weights: bytes) -> None:
    """Raise `ModelError` where reading weights would read other files, or give more than the file holds."""
    foreign = []  # h5py lets no exception out of a visit

    def check_link(name, link):
        if not isinstance(link, h5py.HardLink):
            foreign.append(name)

    def check(name, found):
        if isinstance(found, h5py.Dataset) and (
            found.external or found.is_virtual or found.nbytes > found.id.get_storage_size()
        ):
            foreign.append(name)

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems_links(check_link)
        file.visititems(check)
    if foreign:
        raise ModelError(f"weights {foreign[0]!r} are not in the file itself")
