"""Models that others trained: losses equal to those of an independent formula, and what is refused."""

from __future__ import annotations

import awkward as ak
import numpy as np
import onnx
import pytest
from helpers.foreign_models import graph, scaled, scorer
from helpers.places import FOREIGN_MODELS
from onnx import TensorProto, helper

import hepvae
from hepvae import FileError, InputSpec, LayoutError, ModelError, adopt, load_inferer, pad_particles
from hepvae.conversion.adoption import draft_card
from hepvae.models.foreign_file import draft, read_card
from hepvae.models.losses import LOSSES
from hepvae.scoring.formats import open_scored

SAMPLE = hepvae.sample_path("qcdSig")
SPEC = InputSpec(20, ("log_pt", "deta", "dphi", "pt"), "relative")
TRANSFORMS = [["log_pt", 1.7, 0.7, -1.0, 2.0], ["deta", 0, 2, -5, 5], "dphi"]


@pytest.fixture(scope="module")
def events():
    return hepvae.read_dijets(SAMPLE, entry_stop=60, spec=InputSpec(5, ("mass",)))


@pytest.fixture(scope="module")
def values(events):
    """log_pt, deta, dphi in float64 (jets, 20, 3), and which places have a particle."""
    padded = pad_particles(events, SPEC).reshape(-1, 20, 4).astype(np.float64)
    return padded[..., :3], padded[..., 3] > 0


def network_values(physical, there):
    x = (physical - [1.7, 0, 0]) * [0.7, 2, 1]
    x = np.clip(x, [-1, -5, -np.inf], [2, 5, np.inf])
    return np.where(there[..., None], x, 0.25)


def card(reco="mse", **loss):
    features = {"tensor": "x", "n_particles": 20, "features": TRANSFORMS, "pad": 0.25}
    return {"name": "ae", "input": features, "output": {"reconstruction": "y"}, "loss": {"reco": reco, **loss}}


def reference(x, y, there, reco, reduction):
    """The losses of two sets (jets, particles, features), by loops over jets."""
    found = []
    for a, b, real in zip(x, y, there):
        keep = real if reco.startswith("masked") else np.ones_like(real)
        a, b = a[keep], b[keep]
        if reco.endswith("chamfer"):
            distance = ((a[:, None] - b[None]) ** 2).sum(-1)
            parts = np.concatenate([distance.min(1), distance.min(0)])
            found.append(parts.sum() / (1 if reduction == "sum" else len(a)))
        else:
            each = (a - b) ** 2 if reco.endswith("mse") else abs(a - b)
            found.append(each.sum() if reduction == "sum" else each.mean())
    return np.array(found)


@pytest.mark.parametrize("on", ["network", "physical"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("reco", ["mse", "mae", "chamfer", "masked mse", "masked mae", "masked chamfer"])
def test_every_loss_is_that_of_the_formula(tmp_path, events, values, reco, reduction, on):
    parities = adopt(
        scaled(["jets", 20, 3]), card(reco, on=on, reduction=reduction), output=tmp_path / "m", jets=events
    )
    assert parities["source"].holds()
    inferer = load_inferer(tmp_path / "m")
    assert inferer.spec == SPEC
    physical, there = values
    x = network_values(physical, there)
    y = 0.9 * x
    undone = np.where(there[..., None], y / [0.7, 2, 1] + [1.7, 0, 0], 0)
    padded = pad_particles(events, SPEC).reshape(-1, 20, 4)
    assert inferer.reconstruct(padded) == pytest.approx(undone, abs=1e-5)
    assert inferer.card.reconstruction.values == "physical"
    sets = (x, y) if on == "network" else (physical, undone)
    expected = reference(*sets, there, reco, reduction)
    losses = inferer(padded)
    assert set(losses) == {"loss", "reco_loss"}
    assert losses["loss"] == pytest.approx(expected, rel=5e-4, abs=5e-4 * np.median(expected))


def test_axes_in_the_other_order_and_flat_reconstructions(tmp_path, events, values):
    nodes = [("Mul", ["x", "factor"], ["z"]), ("Flatten", ["z"], ["y"])]
    constants = {"factor": np.float32(0.9)}
    model = graph(nodes, {"x": ["jets", 3, 20]}, {"y": ["jets", 60]}, constants, opset=13)
    turned = card()
    turned["input"] = {**turned["input"], "axes": "jets, features, particles"}
    adopt(model, turned, output=tmp_path / "m", jets=events)
    x = network_values(*values)
    losses = load_inferer(tmp_path / "m")(pad_particles(events, SPEC))
    assert losses["loss"].ravel() == pytest.approx(reference(x, 0.9 * x, values[1], "mse", "mean"), rel=5e-4)


def test_old_opsets_are_converted(tmp_path, events):
    adopt(scaled(["jets", 20, 3], opset=9), card("masked mse"), output=tmp_path / "m", jets=events)


def test_jet_level(tmp_path, events):
    names = ["mass", "multiplicity", "girth", "tau21"]
    described = {
        "name": "dense",
        "input": {"level": "jet", "features": [["mass", 100, 0.02], *names[1:]]},
        "output": {"reconstruction": 0},
        "loss": {"reco": "mse"},
    }
    adopt(scaled(["jets", 4]), described, output=tmp_path / "m", jets=events)
    inferer = load_inferer(tmp_path / "m")
    assert inferer.spec == InputSpec(1, (), jet_features=tuple(names))
    padded = pad_particles(events, inferer.spec)
    x = padded[:, :, 0].astype(np.float64)
    x[..., 0] = (x[..., 0] - 100) * 0.02
    assert inferer(padded)["loss"] == pytest.approx((0.01 * x**2).mean(-1), rel=5e-4)


SCORER = {
    "name": "scorer",
    "input": {
        "tensors": {
            "features": {
                "axes": "jets, features, particles",
                "n_particles": 30,
                "features": [["log_energy", 3, 1], "delta_r"],
            },
        },
        "mask": {"tensor": "mask", "axes": "jets, 1, particles"},
    },
    "output": {"score": "score"},
}


def test_one_number_a_jet_of_either_sign(tmp_path, events):
    """Scores of classifiers and flows: in scored files in place of losses, with any strategy."""
    adopt(scorer(), SCORER, output=tmp_path / "m", jets=events)
    inferer = load_inferer(tmp_path / "m")
    padded = pad_particles(events, inferer.spec).reshape(-1, *inferer.spec.shape).astype(np.float64)
    log_energy, delta_r, pt = np.moveaxis(padded, -1, 0)
    expected = [np.mean(e[p > 0] - 3) - 2 * np.mean(d[p > 0]) for e, d, p in zip(log_energy, delta_r, pt)]
    scored = hepvae.score_dijets(events, inferer, strategy="max")
    both = np.reshape(expected, (-1, 2))
    assert np.asarray(scored.j1_score) == pytest.approx(both[:, 0], rel=5e-4, abs=1e-4)
    assert np.asarray(scored.score) == pytest.approx(both.max(axis=1), rel=5e-4, abs=1e-4)
    assert "j1_loss" not in scored.fields
    with pytest.raises(ModelError, match=r"model\.onnx: reconstructs nothing: it gives score"):
        inferer.reconstruct(pad_particles(events, inferer.spec))  # KeyError
    assert min(both.ravel()) < 0 < max(both.ravel())
    report = hepvae.score_files(SAMPLE, inferer, tmp_path / "s.root", mjj_min=0)
    with open_scored(tmp_path / "s.root") as file:
        assert {"j1_score", "j2_score", "score"} <= set(file.kinds)
        assert not {"j1_loss", "j1_kl_loss"} & set(file.kinds)
        assert len(file.column("score")) == report.events_scored > 1000
        lower = np.minimum(file.column("j1_score"), file.column("j2_score"))
        assert np.array_equal(file.column("score"), lower)


def test_a_column_that_is_not_finite_is_never_clipped_into_a_score(tmp_path, events):
    """NaN clipped to a bound is a number: of a jet with such a mass there is no score."""
    described = {**SCORER, "input": {**SCORER["input"]}}
    features = {"axes": "jets, features, particles", "n_particles": 30}
    features["features"] = [["log_energy", 3, 1, -2, 2], "delta_r"]
    described["input"]["tensors"] = {"features": features}
    adopt(scorer(), described, output=tmp_path / "m", jets=events)
    inferer = load_inferer(tmp_path / "m")
    mass = events.jets.constituents.mass
    jet = ak.local_index(mass, axis=0)[:, None, None] + ak.local_index(mass, axis=1)[:, :, None]
    first = jet + 0 * ak.local_index(mass, axis=2) == 0
    constituents = ak.with_field(events.jets.constituents, ak.where(first, np.float32(np.nan), mass), "mass")
    broken = ak.with_field(events, ak.with_field(events.jets, constituents, "constituents"), "jets")
    with pytest.warns(hepvae.UnscoredJetsWarning, match="loss"):
        scored = hepvae.score_dijets(broken, inferer)
    assert np.isnan(np.asarray(scored.score)).tolist() == [True] + [False] * 59
    good = hepvae.score_dijets(events, inferer)
    assert np.array_equal(np.asarray(scored.score)[1:], np.asarray(good.score)[1:])


def test_any_number_of_particles_is_served_by_length(tmp_path, events):
    adopt(scorer(), SCORER, output=tmp_path / "m", jets=events)
    inferer = load_inferer(tmp_path / "m")
    assert inferer._opened().runtime.least_particles is not None


def test_a_mask_that_is_not_used_for_all_is_refused(tmp_path, events):
    """More places of padding changed the score."""
    nodes = [("ReduceMean", ["features"], ["score"], {"axes": [1, 2], "keepdims": 0})]
    nodes = [
        ("Add", ["features", "mask"], ["sum"]),
        ("ReduceMean", ["sum"], ["score"], {"axes": [1, 2], "keepdims": 0}),
    ]
    inputs = {"features": ["jets", 2, "n"], "mask": ["jets", 1, "n"]}
    with pytest.raises(ModelError, match="more places of padding"):
        adopt(graph(nodes, inputs, {"score": ["jets"]}), SCORER, output=tmp_path / "m", jets=events)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("size", [1, 4])
def test_fixed_batch_sizes_are_served_by_blocks(tmp_path, events, values, size):
    adopt(scaled([size, 20, 3]), card(), output=tmp_path / "m", jets=events)
    inferer = load_inferer(tmp_path / "m")
    x = network_values(*values)
    padded = pad_particles(events, SPEC).reshape(-1, 20, 4)
    expected = reference(x, 0.9 * x, values[1], "mse", "mean")
    for count in (0, 1, 7, len(x)):
        assert inferer(padded[:count])["loss"] == pytest.approx(expected[:count], rel=5e-4)
        assert inferer.reconstruct(padded[:count]).shape == (count, 20, 3)


def test_outputs_that_depend_on_the_batch_are_refused(tmp_path, events):
    """As batch normalisation in training mode."""
    nodes = [("ReduceMean", ["x"], ["mean"], {"axes": [0], "keepdims": 1}), ("Sub", ["x", "mean"], ["y"])]
    model = graph(nodes, {"x": ["jets", 20, 3]}, {"y": ["jets", 20, 3]})
    with pytest.raises(ModelError, match="depend on the other jets of its batch"):
        adopt(model, card(), output=tmp_path / "m", jets=events)


def noisy():
    """An autoencoder with a second output that is random."""
    nodes = [
        ("RandomNormalLike", ["x"], ["noise"]),
        ("Add", ["x", "noise"], ["noised"]),
        ("Neg", ["x"], ["clean"]),
    ]
    shape = ["jets", 20, 3]
    return graph(nodes, {"x": shape}, {"noised": shape, "clean": shape})


def test_random_operators_are_refused_only_where_an_output_in_use_needs_them(tmp_path, events):
    used = {**card(), "output": {"reconstruction": "noised"}}
    with pytest.raises(ModelError, match=r"RandomNormalLike .*--decoder"):
        adopt(noisy(), used, output=tmp_path / "m", jets=events)
    adopt(noisy(), {**card(), "output": {"reconstruction": "clean"}}, output=tmp_path / "m", jets=events)


def with_loop(model):
    """The same with an operator that holds another graph."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["y"], ["out"])],
        "inner",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    condition = helper.make_tensor("condition", TensorProto.BOOL, [], [True])
    model.graph.initializer.append(condition)
    model.graph.node.append(helper.make_node("If", ["condition"], ["z"], then_branch=inner, else_branch=inner))
    return model


def with_external_data(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return model


def with_huge(kind):
    """The same with a tensor of 2^34 values that an output in use needs, which constants alone give, or inputs."""

    def changed(model):
        nodes = {
            "constant": [
                ("ConstantOfShape", ["shape"], ["huge"]),
                ("ReduceMax", ["huge"], ["most"], {"keepdims": 0}),
            ],
            "input": [
                ("Reshape", ["x", "column"], ["columns"]),
                ("Expand", ["columns", "shape"], ["huge"]),
                ("ReduceMax", ["huge"], ["most"], {"keepdims": 0}),
            ],
        }[kind]
        constants = {
            "shape": np.array([2**17, 60, 2**11] if kind == "input" else [2**34], np.int64),
            "column": np.array([-1, 60, 1], np.int64),
            "factor": np.float32(0.9),
        }
        nodes += [("Mul", ["x", "factor"], ["z"]), ("Add", ["z", "most"], ["y"])]
        shape = model.graph.input[0].type.tensor_type.shape
        sizes = [axis.dim_value or axis.dim_param for axis in shape.dim]
        return graph(nodes, {"x": sizes}, {"y": sizes}, constants)

    return changed


def with_functions(kind):
    """The same with functions that double what they call 40 times, or that call each other without end."""

    def changed(model):
        used = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        model.opset_import.append(used[1])
        names = [f"f{i}" for i in range(40)]
        for name, inner in zip(names, [*names[1:], "f0" if kind == "endless" else "Abs"]):
            domain = "" if inner == "Abs" else "own"
            nodes = [
                helper.make_node(inner, ["a"], ["b"], domain=domain),
                helper.make_node(inner, ["b"], ["c"], domain=domain),
            ]
            model.functions.append(helper.make_function("own", name, ["a"], ["c"], nodes, used))
        model.graph.node.append(helper.make_node("f0", ["y"], ["w"], domain="own"))
        return model

    return changed


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (with_loop, "control flow"),
        (with_external_data, "weights in other files"),
        pytest.param(with_huge("constant"), "model: tensor 'huge' has 1.72e", id="huge_constant"),
        pytest.param(with_huge("input"), "model: tensor 'huge' has 1.61e", id="huge_from_input"),
        pytest.param(with_functions("endless"), "f0 calls itself", id="endless_functions"),
        pytest.param(with_functions("many"), r"functions have 1.1e\+12 operators", id="many_functions"),
    ],
)
def test_what_a_graph_must_not_have(tmp_path, events, change, named):
    with pytest.raises(ModelError, match=named):
        adopt(change(scaled(["jets", 20, 3])), card(), output=tmp_path / "m", jets=events)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"input": {"tensor": "z", "features": ["pt"]}}, r"input tensor 'z' is not in the model, which has x"),
        ({"input": {"tensor": "x", "features": ["pt"]}}, r"has 3 features .*and the card 1: pt"),
        ({"input": {"tensor": "x", "n_particles": 30, "features": TRANSFORMS}}, "has 20 particles"),
        ({"output": {"reconstruction": "w"}}, r"output.reconstruction is 'w': the model has the outputs y"),
        ({"output": {"reconstruction": 3}}, "output.reconstruction is 3"),
        ({"output": {"score": "y"}, "loss": None}, "one number a jet"),
    ],
)
def test_cards_that_do_not_fit_say_what_the_model_has(tmp_path, events, changed, named):
    described = {key: value for key, value in {**card(), **changed}.items() if value is not None}
    with pytest.raises(ModelError, match=named):
        adopt(scaled(["jets", 20, 3]), described, output=tmp_path / "m", jets=events)


def test_nothing_is_replaced_without_a_word(tmp_path, events):
    folder = tmp_path / "m"
    folder.mkdir()
    folder.joinpath("mine").write_text("")
    with pytest.raises(FileError, match="exists already"):
        adopt(scaled(["jets", 20, 3]), card(), output=folder, jets=events)
    adopt(scaled(["jets", 20, 3]), card(), output=folder, jets=events, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx"]


def test_drafts_are_cards(tmp_path):
    onnx.save(scaled(["jets", 3, 20]), tmp_path / "net.onnx")
    text = draft_card(tmp_path / "net.onnx")
    (tmp_path / "card.toml").write_text(text)
    described = read_card(tmp_path / "card.toml")
    assert (described.inputs[0].tensor, described.inputs[0].n_particles) == ("x", 20)
    assert described.inputs[0].axes == "jets, features, particles"
    assert described.outputs.reconstruction == "y"


def test_drafts_tell_masks_and_scores(tmp_path):
    """A mask was drafted as constituents of eta, phi and pt, and one number a jet as a reconstruction."""
    onnx.save(scorer(20), tmp_path / "net.onnx")
    (tmp_path / "card.toml").write_text(draft_card(tmp_path / "net.onnx"))
    described = read_card(tmp_path / "card.toml")
    assert (described.mask.tensor, described.mask.axes) == ("mask", "jets, 1, particles")
    assert [one.tensor for one in described.inputs] == ["features", "mask"]
    assert (described.outputs.score, described.loss) == ("score", None)


def test_drafts_of_encoders_name_the_latent_outputs():
    """Of the study's encoder, z was drafted as the reconstruction."""
    shapes = {name: (None, 8) for name in ("z", "z_log_var", "z_mean")}
    text = draft("encoder", {"x": (None, 100, 3)}, shapes)
    assert "reconstruction = 0" in text and 'z_mean = "z_mean"\nz_log_var = "z_log_var"\n' in text
    assert 'reconstruction = "y"' in draft("whole", {"x": (None, 100, 3)}, {"y": (None, 100, 3)} | shapes)


def test_drafts_propose_no_loss_as_a_reconstruction(tmp_path):
    """Of an export of hepvae's own, kl_loss of one number a jet was drafted as the reconstruction."""
    (tmp_path / "card.toml").write_text(draft_card(hepvae.model_path("conv")))
    described = read_card(tmp_path / "card.toml")
    assert described.name == "conv"  # not "model", as its file
    assert described.outputs.losses == tuple((name, name) for name in LOSSES)
    assert described.loss.kl_weight > 0  # else kl_loss would not be in the score
    x, jet = (None, 100, 3), (None,)
    others = {"kl_loss": jet, "hidden": (None, 100, 9), "y": x}
    assert '\nreconstruction = "y"' in draft("ae", {"x": x}, others)
    assert '\nreconstruction = "reconstruction"' in draft(
        "ae", {"x": x}, {**others, "reconstruction": (None, 300)}
    )
    assert '\nscore = "a"' in draft("two", {"x": x}, {"a": jet, "b": (None, 1)})


def test_errors_name_what_was_meant(tmp_path, events):
    """A table [los] was not named, nor axes the other way round, nor what to check on without bundled samples."""
    card = {"name": "ae", "input": {"features": ["pt", "deta", "dphi"]}, "output": {"reconstruction": 0}}
    loss = {"loss": {"reco": "mse"}}
    with pytest.raises(ModelError, match=r"loss is missing: .*; nearest: 'los'"):
        adopt(scaled(["jets", 20, 3]), {**card, "los": loss["loss"]}, output=tmp_path / "m", jets=events)
    with pytest.raises(ModelError, match='with axes = "jets, features, particles" they fit'):
        adopt(scaled(["jets", 3, 20]), card | loss, output=tmp_path / "m", jets=events)
    charged = {**card, "input": {"features": ["pt", "charge", "dphi"]}}
    with pytest.raises(LayoutError, match=r"needs for charge; .*: expected --check"):
        adopt(scaled(["jets", 20, 3]), charged | loss, output=tmp_path / "m")


@pytest.mark.parametrize(
    ("line", "instead", "named"),
    [
        (3, 'tensor = "z"', "line 3: input tensor 'z' is not in the model, which has x"),
        (4, "n_particles = 30", "line 4: tensor 'x' has 20 particles"),
        (5, 'features = ["pt"]', "line 5: tensor 'x' has 3 features"),
        (5, 'features = ["pt", "pt", "dphi"]', "line 5: input.features has 'pt' more than once"),
        (7, 'reconstruction = "w"', "line 7: output.reconstruction is 'w': the model has the outputs y"),
        (9, 'reco = "mes"', "line 9: loss.reco 'mes' is unknown: expected one of mse"),
    ],
)
def test_errors_name_the_line_of_the_card(tmp_path, events, line, instead, named):
    """Keys that contradict the model were named without the line of the card."""
    lines = ['name = "ae"', "[input]", 'tensor = "x"', "n_particles = 20", 'features = ["pt", "deta", "dphi"]']
    lines += ["[output]", 'reconstruction = "y"', "[loss]", 'reco = "mse"']
    lines[line - 1] = instead
    (tmp_path / "card.toml").write_text("\n".join(lines))
    with pytest.raises(ModelError, match=f"card.toml, {named}"):
        adopt(scaled(["jets", 20, 3]), tmp_path / "card.toml", output=tmp_path / "m", jets=events)


CARDS = {
    "torch_conv_ae/ae.onnx": """
name = "torch-conv-ae"
[input]
tensor = "x"
axes = "jets, features, particles"
features = [["log_pt", 1.7, 0.7, -5, 5], ["deta", 0, 2, -5, 5], ["dphi", 0, 2, -5, 5]]
[output]
reconstruction = "y"
[loss]
reco = "mse"
""",
    "torch_jet_level/dense.onnx": """
name = "torch-jet-level"
[input]
level = "jet"
features = [["pt", 982.048, 0.00252404278], ["mass", 132.741, 0.0119307342], ["multiplicity", 66.445, 0.034208159],
            ["pt_dispersion", 0.301, 10.2040816], ["girth", 0.091, 12.5470514]]
[output]
reconstruction = "reconstruction"
[loss]
reco = "mse"
""",
    "torch_score/model.onnx": """
name = "torch-score"
preprocess = "FOLDER/preprocess.json"
[output]
score = "score"
""",
}


@pytest.mark.parametrize("file", CARDS)
def test_exports_of_pytorch(tmp_path, file):
    if not (FOREIGN_MODELS / file).exists():
        pytest.skip("models of others are not here")
    (tmp_path / "card.toml").write_text(CARDS[file].replace("FOLDER", str((FOREIGN_MODELS / file).parent)))
    adopt(FOREIGN_MODELS / file, tmp_path / "card.toml", output=tmp_path / "m", jets=[SAMPLE])
    check_reference(load_inferer(tmp_path / "m"), (FOREIGN_MODELS / file).parent)


def check_reference(inferer, folder):
    events = hepvae.read_dijets(SAMPLE, entry_stop=100, spec=inferer.spec)
    losses = inferer(pad_particles(events, inferer.spec).reshape(-1, *inferer.spec.shape))
    with np.load(folder / "reference.npz") as reference:
        names = [name for name in losses if name in reference.files]
        assert names
        for name in names:
            expected = reference[name].ravel()
            assert losses[name] == pytest.approx(expected, rel=5e-4, abs=5e-4 * float(np.median(abs(expected))))


KERAS2 = """
name = "keras2-vae"
[input]
features = ["eta", "phi", "pt"]
[output]
reconstruction = 0
z_mean = "z_mean"
z_log_var = "z_log_var"
[loss]
reco = "chamfer"
kl_weight = 0.01
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "h5"])
def test_keras_2_in_the_manner_of_the_study(tmp_path, kind):
    """Encoder and decoder apart, z sampled in the encoder, code in Lambda layers."""
    folder = FOREIGN_MODELS / "keras2_vae"
    if not folder.exists():
        pytest.skip("models of others are not here")
    (tmp_path / "card.toml").write_text(KERAS2)
    options = {}
    if kind == "h5":
        pytest.importorskip("tf_keras")
        options = {"custom": folder / "custom.py"}
        with pytest.raises(ModelError, match=r"Lambda .*--trust-code"):
            adopt(folder / "encoder.h5", tmp_path / "card.toml", output=tmp_path / "m", jets=[SAMPLE])
    suffix = ".h5" if kind == "h5" else "_saved_model"
    models = {"model": folder / f"encoder{suffix}", "decoder": folder / f"decoder{suffix}"}
    adopt(**models, card=tmp_path / "card.toml", output=tmp_path / "m", jets=[SAMPLE], **options)
    for runtime in ("onnxruntime", "tensorflow"):
        inferer = load_inferer(tmp_path / "m", runtime=runtime)
        check_reference(inferer, folder)
    assert load_inferer(tmp_path / "m", runtime="onnxruntime")._opened().runtime.reco_loss == "chamfer"
