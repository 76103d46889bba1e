"""What stands before and behind a network of others: a padded array becomes its tensors, its outputs losses.

The formulas are those of a `ForeignCard`, written once for NumPy, ``keras.ops`` and `OnnxOps`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jets.spec import InputSpec
from ..models.contract import RECONSTRUCTION
from ..models.foreign import ForeignCard, InputTensor
from ..models.losses import chamfer, chamfer_by_product, points

__all__ = ["invertible", "network_inputs", "outputs_of", "precise_by_product"]

#: Beyond this, squares of clipped features no longer keep their differences.
SMALL = 100.0


def _mask(padded: Any, card: ForeignCard, one: InputTensor, ops: Any) -> Any:
    """1 for a particle of a tensor, 0 for padding: (jets, particles)."""
    pt = card.spec.features.index("pt")
    mask = ops.where(padded[..., pt] > 0, np.float32(1), np.float32(0))
    return mask if one.n_particles == card.spec.n_particles else mask[:, : one.n_particles]


def _physical(padded: Any, card: ForeignCard, one: InputTensor, ops: Any) -> Any:
    """The features of a tensor as a padded array has them, (jets, particles, features) or (jets, features)."""
    spec = card.spec
    if one.level == "jet":
        places = [len(spec.features) + spec.jet_features.index(f.name) for f in one.features]
        return _columns(padded[:, 0], places, spec.shape[1], ops)
    places = [spec.features.index(card.column(one, f)) for f in one.features]
    values = _columns(padded, places, spec.shape[1], ops)
    return values if one.n_particles == spec.n_particles else values[:, : one.n_particles]


def _columns(values: Any, places: list[int], all_of_them: int, ops: Any) -> Any:
    if places == list(range(all_of_them)):
        return values
    if places == list(range(places[0], places[-1] + 1)):
        return values[..., places[0] : places[-1] + 1]
    return ops.take(values, np.asarray(places), axis=-1)


def _of_each(one: InputTensor, name: str) -> Any:
    return np.array([getattr(f, name) for f in one.features], np.float32)


def _network_values(padded: Any, card: ForeignCard, one: InputTensor, ops: Any) -> Any:
    """The features of a tensor as the network has them, axes as in `_physical`."""
    values = _physical(padded, card, one, ops)
    if any((f.subtract, f.multiply) != (0, 1) for f in one.features):
        values = (values - _of_each(one, "subtract")) * _of_each(one, "multiply")
    if any(f.clips for f in one.features):
        values = ops.maximum(ops.minimum(values, _of_each(one, "highest")), _of_each(one, "lowest"))
    if one.level == "constituents" and any(f.moves_padding for f in one.features):
        mask = _mask(padded, card, one, ops)
        values = ops.where(ops.expand_dims(mask, 2) > 0, values, _of_each(one, "pad"))
    return values


def network_inputs(padded: Any, card: ForeignCard, ops: Any) -> dict[str, Any]:
    """The inputs of the network by name, in the axes that it has.

    Parameters
    ----------
    padded : array, float32 (jets, n_particles, n_features)
        Of the spec of the card, which is `foreign.resolved`.
    """
    inputs = {}
    for one in card.inputs:
        assert one.tensor is not None
        if one.is_mask:
            mask = _mask(padded, card, one, ops)
            axis = {"jets, 1, particles": 1, "jets, particles, 1": 2}.get(one.axes)
            inputs[one.tensor] = mask if axis is None else ops.expand_dims(mask, axis)
            continue
        values = _network_values(padded, card, one, ops)
        turned = one.axes == "jets, features, particles"
        inputs[one.tensor] = ops.transpose(values, (0, 2, 1)) if turned else values
    return inputs


def invertible(card: ForeignCard) -> bool:
    """Whether a reconstruction can be given in physical values."""
    of = card.reconstructed
    return of is not None and all(f.multiply != 0 for f in of.features)


def outputs_of(
    padded: Any, raw: dict[str, Any], card: ForeignCard, ops: Any, *, by_product: bool = False, free: bool = False
) -> dict[str, Any]:
    """The outputs of the card: losses (jets,) by name, and the reconstruction, if there is one.

    Parameters
    ----------
    raw : dict of str to array
        What the network gives, by the keys of [output] in the card.
    by_product : bool
        The distances by a matrix product, where that is precise enough.
    free : bool
        The particle axis may have any length.
    """
    outputs = card.outputs
    if outputs.reconstruction is None:
        return {name: ops.reshape(raw[name], (-1,)) for name in outputs.names}
    of, loss = card.reconstructed, card.loss
    assert of is not None and loss is not None
    network = _unfolded(raw["reconstruction"], of, ops, free)
    physical = _undone(network, padded, card, of, ops) if invertible(card) else None
    if loss.on == "physical":
        pair = _physical(padded, card, of, ops), physical
    else:
        pair = _network_values(padded, card, of, ops), network
    mask = _mask(padded, card, of, ops) if loss.masked else None
    reco_loss = _reco_loss(*pair, mask, card, ops, by_product)
    result = {"loss": reco_loss, "reco_loss": reco_loss}
    if "kl_loss" in outputs.names:
        z_mean, z_log_var = raw["z_mean"], raw["z_log_var"]
        each = 1.0 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var)
        reduced = ops.mean(each, axis=1) if loss.reduction == "mean" else ops.sum(each, axis=1)
        result["kl_loss"] = reduced * -0.5
        result["loss"] = reco_loss + result["kl_loss"] * loss.kl_weight
    shown = network if physical is None else physical
    result[RECONSTRUCTION] = ops.expand_dims(shown, 1) if of.level == "jet" else shown
    return result


def _unfolded(values: Any, of: InputTensor, ops: Any, free: bool) -> Any:
    """A reconstruction with the axes (jets, particles, features), or (jets, features); flat ones are folded."""
    number = len(of.features)
    if of.level == "jet":
        return ops.reshape(values, (-1, number))
    turned = of.axes == "jets, features, particles"
    if not free:
        assert of.n_particles is not None
        values = ops.reshape(values, (-1, number, of.n_particles) if turned else (-1, of.n_particles, number))
    return ops.transpose(values, (0, 2, 1)) if turned else values


def _undone(values: Any, padded: Any, card: ForeignCard, of: InputTensor, ops: Any) -> Any:
    """Physical values: transforms undone, clipped ones as if they were not, padding zero."""
    if any((f.subtract, f.multiply) != (0, 1) for f in of.features):
        values = values * (1 / _of_each(of, "multiply")) + _of_each(of, "subtract")
    if of.level == "constituents" and any(f.moves_padding for f in of.features):
        values = ops.where(ops.expand_dims(_mask(padded, card, of, ops), 2) > 0, values, np.float32(0))
    return values


def _reco_loss(
    particles: Any, reconstruction: Any, mask: Any, card: ForeignCard, ops: Any, by_product: bool
) -> Any:
    loss, of = card.loss, card.reconstructed
    assert of is not None and loss is not None
    axes = (1,) if of.level == "jet" else (1, 2)
    if loss.kind != "chamfer":
        difference = reconstruction - particles
        each = ops.square(difference) if loss.kind == "mse" else ops.abs(difference)
        if mask is None:
            return ops.mean(each, axis=axes) if loss.reduction == "mean" else ops.sum(each, axis=axes)
        total = ops.sum(each * ops.expand_dims(mask, 2), axis=axes)
        return total if loss.reduction == "sum" else total / (ops.sum(mask, axis=1) * float(len(of.features)))
    # Places that are left out may hold anything.
    names = tuple(f.name if f.name == "pt" else f.name.removeprefix("d") for f in of.features)
    if loss.distance == "momenta":
        spec = InputSpec(1, names)
        particles, reconstruction = (points(x, spec, loss.distance, ops) for x in (particles, reconstruction))
    if by_product and precise_by_product(card):
        pt = names.index("pt") if "pt" in names and loss.distance == "features" else None
        pt = pt if pt is not None and not of.features[pt].clips else None
        distance = chamfer_by_product(particles, reconstruction, ops, mask, pt)
    else:
        distance = chamfer(particles, reconstruction, ops, mask)
    if loss.reduction == "mean":
        return distance
    return distance * (float(of.n_particles or 1) if mask is None else ops.sum(mask, axis=1))


def precise_by_product(card: ForeignCard) -> bool:
    """Whether the distances by a matrix product keep their digits: all features but pt in GeV are small."""
    of, loss = card.reconstructed, card.loss
    if of is None or loss is None or loss.kind != "chamfer":
        return False
    if loss.distance == "momenta":
        return True
    return all(  # of features that are clipped, of directions, and of plain pt
        (max(abs(f.lowest), abs(f.highest)) <= SMALL and loss.on == "network")
        or (f.name in ("eta", "phi", "deta", "dphi", "delta_r") and abs(f.multiply) <= 10)
        or (f.name == "pt" and not f.moves)
        for f in of.features
    )
