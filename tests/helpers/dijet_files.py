"""Dijet files that the tests write, and comparisons of what is read from them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import uproot

from hepvae.jets.kinematics import wrapped

__all__ = ["LAYOUTS", "as_collection", "counted", "directions", "random_tables", "same_jets", "write_events"]


def random_tables(rng, events=30, *, jets=(0, 4), constituents=(0, 150)):
    """Flat NanoAOD-like tables with links in no order, shared candidates and some links to nothing."""
    n_jets = rng.integers(*jets, size=events, endpoint=True)
    jet_pt = [rng.uniform(170, 2000, n) for n in n_jets]
    candidates, jet_index, candidate_index = [], [], []
    for n in n_jets:
        members = [rng.integers(*constituents, endpoint=True) for _ in range(n)]
        own = np.repeat(np.arange(n), members)
        n_candidates = len(own) + 5
        place = rng.permutation(n_candidates)[: len(own)]
        # some links more: a candidate in two jets, and links that lead nowhere
        if n and n_candidates:
            own = np.concatenate([own, rng.integers(0, n, 3), [-1]])
            place = np.concatenate([place, rng.integers(0, n_candidates, 3), [0]])
        shuffled = rng.permutation(len(own))
        jet_index.append(own[shuffled])
        candidate_index.append(place[shuffled])
        candidates.append(n_candidates)
    per_jet = [np.sort(p)[::-1] if rng.random() < 0.5 else p for p in jet_pt]
    tables = {
        "jets": {
            "pt": per_jet,
            "mass": [rng.uniform(5, 200, n) for n in n_jets],
        },
        "candidates": {
            "pt": [rng.exponential(10, n) for n in candidates],
            "eta": [rng.uniform(-0.8, 0.8, n) for n in candidates],
            "phi": [rng.uniform(-np.pi, np.pi, n) for n in candidates],
        },
        "links": {"jet": jet_index, "candidate": candidate_index},
    }
    tables["jets"] |= directions(tables)
    return tables


def directions(tables):
    """eta and phi of each jet: of the sum of its constituents; zero for jets without any."""
    eta, phi = [], []
    for pt, jet, candidate, c in zip(
        tables["jets"]["pt"],
        tables["links"]["jet"],
        tables["links"]["candidate"],
        (dict(zip(tables["candidates"], values)) for values in zip(*tables["candidates"].values())),
    ):
        linked, px, py, pz = jet >= 0, *np.zeros((3, len(pt)))
        p = {name: values[candidate[linked]] for name, values in c.items()}
        for total, part in ((px, np.cos(p["phi"])), (py, np.sin(p["phi"])), (pz, np.sinh(p["eta"]))):
            np.add.at(total, jet[linked], p["pt"] * part)
        eta.append(np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-9)))
        phi.append(np.arctan2(py, px))
    return {"eta": eta, "phi": phi}


def _ragged(lists, dtype):
    counts = np.array([len(values) for values in lists], np.int64)
    flat = np.concatenate([np.asarray(values, dtype) for values in lists]) if lists else np.empty(0, dtype)
    return ak.unflatten(flat.astype(dtype), counts)


LAYOUTS = {
    "nanoaodv15": ("PFCand", "FatJetPFCand", "pfCandIdx"),
    "pfnano": ("PFCands", "FatJetPFCands", "pFCandsIdx"),
}


def counted(tables):
    """The same tables, with all links jet by jet, and how many each jet has."""
    jets, candidates, counts = [], [], []
    for pt, jet, candidate in zip(tables["jets"]["pt"], tables["links"]["jet"], tables["links"]["candidate"]):
        order = np.argsort(jet, kind="stable")
        order = order[jet[order] >= 0]
        jets.append(jet[order])
        candidates.append(candidate[order])
        counts.append(np.bincount(jet[order], minlength=len(pt)))
    return {**tables, "links": {"jet": jets, "candidate": candidates, "counts": counts}}


def write_events(
    path,
    tables,
    *,
    layout="nanoaodv15",
    rntuple=False,
    grouped=False,
    counts="",
    tree="Events",
    drop=(),
    weights=True,
):
    """Write tables of `random_tables` as a ROOT file of a layout.

    ``drop`` leaves branches out; ``counts`` names the branch that stands for the jets of the links; ``grouped``
    writes each collection as one field of an RNTuple.
    """
    candidate, link, index = LAYOUTS[layout]
    if counts:
        tables, drop = counted(tables), (*drop, f"{link}_jetIdx")
    events = len(tables["jets"]["pt"])
    columns = {
        "FatJet": {k: _ragged(v, np.float32) for k, v in tables["jets"].items()},
        candidate: {k: _ragged(v, np.float32) for k, v in tables["candidates"].items()},
        link: {
            "jetIdx": _ragged(tables["links"]["jet"], np.int32),
            index: _ragged(tables["links"]["candidate"], np.int32),
        },
    }
    if counts:
        columns["FatJet"][counts] = _ragged(tables["links"]["counts"], np.int32)
    if "weight" in tables["candidates"]:
        columns[candidate]["puppiWeight"] = columns[candidate].pop("weight")
    for group in columns:
        columns[group] = {k: v for k, v in columns[group].items() if f"{group}_{k}" not in drop}
    per_event = {
        "run": np.ones(events, np.uint32),
        "luminosityBlock": np.full(events, 7, np.uint32),
        "event": np.arange(1, events + 1, dtype=np.uint64),
    }
    if weights:
        per_event["genWeight"] = np.linspace(0.5, 2, events).astype(np.float32)
    per_event = {k: v for k, v in per_event.items() if k not in drop}
    with uproot.recreate(path) as file:
        if grouped:
            file.mkrntuple(tree, {group: ak.zip(fields) for group, fields in columns.items()} | per_event)
        elif rntuple:
            flat = {f"{group}_{k}": v for group, fields in columns.items() for k, v in fields.items()}
            file.mkrntuple(tree, {**flat, **per_event})
        else:
            data = {group: ak.zip(fields) for group, fields in columns.items() if fields} | per_event
            types = {k: ak.type(ak.Array(v)).content for k, v in data.items()}
            written = file.mktree(tree, types)
            if events:
                written.extend(data)
    return path


JETS = (
    "2 * Momentum4D[pt: float32, eta: float32, phi: float32, mass: float32, constituents: var *"
    " Momentum3D[pt: float32, eta: float32, phi: float32]]"
)


def as_collection(tables, path, jets, candidates, links, index, **extra):
    """The tables of a file under other names of collections."""
    write_events(path, tables)
    with uproot.open(path) as file:
        columns = file["Events"].arrays()
    names = {"FatJet": jets, "PFCand": candidates, "FatJetPFCand": links}
    written = {}
    for name in columns.fields:
        collection, _, field = name.partition("_")
        if name.startswith("n") or not field:
            continue
        field = index if field == "pfCandIdx" else field
        written[f"{names[collection]}_{field}"] = columns[name]
    written |= {name: columns[name] for name in ("run", "luminosityBlock", "event")} | extra
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: column.type.content for name, column in written.items()}).extend(written)
    return path


def same_jets(found, expected, **tolerance):
    assert str(found.jets.type) == f"{len(found)} * {JETS}"
    found, expected = ak.flatten(found.jets), ak.flatten(expected.jets)
    assert ak.array_equal(ak.num(found.constituents), ak.num(expected.constituents))
    for one, other in ((found, expected), (found.constituents, expected.constituents)):
        for name in {"pt", "eta", "mass"} & set(one.fields):
            assert ak.almost_equal(one[name], other[name], **tolerance), name
        apart = wrapped(one.phi - other.phi)  # pi and -pi are the same
        assert ak.almost_equal(apart, 0 * apart, **tolerance)
