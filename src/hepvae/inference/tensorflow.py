"""TensorFlow."""

from __future__ import annotations

from ..errors import OptionError
from ..extras import quiet_tensorflow, require
from ..models.losses import LOSSES
from .base import INPUT, RECONSTRUCTION, Inferer
from .blocks import Tuning

__all__ = ["TensorFlowInferer", "traced"]


def traced(model, outputs, *, jets: int | None = None, by_product: bool = False, jit: bool = False):
    """A ``tf.function`` of some outputs of a model by name.

    Parameters
    ----------
    model : VAE
    outputs : sequence of str
    jets : int, optional
        For that number of jets only; by default for any.
    by_product : bool
        The distances by a matrix product.
    jit : bool
        Compiled by XLA.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((jets, *model.card.spec.shape), tf.float32, name=INPUT)]

    @tf.function(input_signature=signature, jit_compile=jit)
    def losses(particles):
        found = model(particles, training=False, by_product=by_product)
        return {name: found[name] for name in outputs}

    return losses


class TensorFlowInferer(Inferer):
    """A model in a ``.keras`` file, on TensorFlow, as a ``tf.function`` traced once.

    Parameters
    ----------
    device : str
        TensorFlow's name of the device (default ``"CPU"``); one that is not there is an error.

    Notes
    -----
    TensorFlow sets its threads once for the process: a second inferer with another number of
    ``threads`` is an error.
    """

    runtime = "tensorflow"
    suffixes = (".keras",)
    default_tuning = Tuning(128, "operators")
    #: Whether XLA compiles it.
    jit = False

    def __init__(self, path, *, device: str = "CPU", **options):
        self.device = device
        super().__init__(path, **options)

    def _open(self):
        tf = require("tensorflow", str(self.path))
        self._set_threads(tf)
        kind, _, number = self.device.rpartition("/")[2].removeprefix("device:").partition(":")
        with quiet_tensorflow():
            present = tf.config.list_logical_devices(kind or self.device)
        if int(number or 0) >= len(present):
            known = ", ".join(d.name.removeprefix("/device:") for d in tf.config.list_logical_devices())
            raise OptionError(f"device {self.device!r} is not there: TensorFlow has {known}")

        from ..models.vae import load_vae

        model = load_vae(self.path)
        functions = {names: traced(model, names, jit=self.jit) for names in (LOSSES, (RECONSTRUCTION,))}
        return functions, model.card

    def _set_threads(self, tf):
        config = tf.config.threading
        if config.get_intra_op_parallelism_threads() == self.threads:
            return
        try:
            config.set_intra_op_parallelism_threads(self.threads)
            config.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            if self._threads_asked is not None:
                raise OptionError(
                    f"threads={self.threads}: TensorFlow has started in this process already, with"
                    f" {config.get_intra_op_parallelism_threads() or 'all cores'}; set threads before"
                ) from error
            self.threads = config.get_intra_op_parallelism_threads() or self.threads

    def _run(self, session, batch, outputs):
        import tensorflow as tf

        with tf.device(self.device):
            found = session[tuple(outputs)](tf.convert_to_tensor(batch))
        return [found[name].numpy() for name in outputs]
