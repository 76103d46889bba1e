"""The VAE around an encoder and a decoder: losses, sampling in training only, saving with its card."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import ops

from ..card import ModelCard
from ..errors import HepvaeError, ModelError, one_line
from ..losses import chamfer, kl_divergence
from ..scores import LOSSES
from . import architecture, hyperparameters
from .layers import Mask

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
    sample of the latent distribution in training, and its mean everywhere else.
    """

    def __init__(self, card: ModelCard, **kwargs):
        super().__init__(**kwargs)
        self.card = card
        made = architecture(card.architecture)
        self.encoder, self.decoder = made.build(card, **hyperparameters(card.architecture, card.hyperparameters))
        self.mask = Mask(card.spec.features.index("pt"), name="mask") if made.masked else None
        self._noise = keras.random.SeedGenerator()
        self._means = {name: keras.metrics.Mean(name=name) for name in LOSSES}
        self.built = True  # encoder and decoder are, already

    def call(self, particles, training=False):
        latent = self.encoder(particles, training=training)
        z_mean, z_log_var = latent["z_mean"], latent["z_log_var"]
        z = z_mean
        if training:
            z = z + ops.exp(0.5 * z_log_var) * keras.random.normal(ops.shape(z), seed=self._noise)
        mask = None if self.mask is None else self.mask(particles)
        reconstruction = self.decoder(z if mask is None else {"z": z, "mask": mask}, training=training)
        reco_loss = chamfer(particles, reconstruction, ops, mask)
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
    """Load a .keras file, in Keras' safe mode.

    Raises
    ------
    ModelError
        The file is no model of hepvae.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such model file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except HepvaeError as error:
        raise ModelError(f"{path}: {error}") from error
    # Keras raises whatever its reading of a foreign file runs into.
    except Exception as error:
        raise ModelError(f"{path}: not a model that hepvae can load: {one_line(error)}") from error
    if not isinstance(model, VAE):
        raise ModelError(f"{path}: a Keras {type(model).__name__}, not a VAE of hepvae")
    return model
