"""The pages on models and runtimes of one's own: their code runs as it stands there."""

from __future__ import annotations

import http.server
import io
import json
import re
import threading
from dataclasses import fields

import numpy as np
import onnx
import pytest
import uproot
from helpers.foreign_models import scaled
from helpers.places import CHECKOUT

import hepvae
from hepvae.cli import main
from hepvae.models.foreign import InputTensor, LossRecipe
from hepvae.models.foreign_file import read_card


def blocks(page, language="python"):
    """The code of a page of the documentation."""
    text = (CHECKOUT / "docs" / f"{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_card_of_the_page_has_all_keys(tmp_path):
    """There was none: which keys a card has could only be read in the code."""
    (card,) = blocks("your-own-model", "toml")
    (tmp_path / "card.toml").write_text(card)
    described = read_card(tmp_path / "card.toml")
    assert (described.inputs[0].axes, described.loss.kl_weight) == ("jets, features, particles", 0.01)
    for part in (InputTensor, LossRecipe):
        assert all(re.search(rf"^{field.name} = ", card, re.MULTILINE) for field in fields(part))


@pytest.mark.slow
def test_score_with_your_own_model(tmp_path, monkeypatch, capsys):
    """From a Keras object in a notebook to the plot and the runtime study."""
    pytest.importorskip("keras")
    pytest.importorskip("ai_edge_litert")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("your-own-model"):
        exec(compile(block, "your-own-model.md", "exec"), names)
    assert all(parity.holds() for parity in names["parities"].values())
    assert np.isfinite(np.asarray(names["scored"].score)).all()
    assert main(["plot", "QCD=qcdSig.root", "WW=GtoWW15na.root", "--output", "anomaly_score.png"]) == 0
    assert main(["bench", "--models", "my-vae", "--quick", "--output", "study"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"my-vae +tensorflow +1 ", printed), printed
    assert re.search(r"my-vae +onnxruntime +512 ", printed), printed
    with open("study/results.json") as file:
        records = json.load(file)["records"]
    assert {record["runtime"] for record in records} == {"tensorflow", "onnxruntime", "litert"}


@pytest.fixture
def server():
    """Runs the bundled conv for whoever sends jets."""
    inferer = hepvae.load_inferer("conv")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            jets = np.frombuffer(content, np.float32).reshape(-1, *inferer.spec.shape)
            answer = io.BytesIO()
            np.savez(answer, **inferer(jets), reconstruction=inferer.reconstruct(jets))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.getvalue())

        def log_message(self, *given):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", inferer
        running.shutdown()


def test_a_runtime_in_a_package_of_its_own(tmp_path, monkeypatch, server, signal_events):
    """As the page has it: ten lines, and an entry point."""
    url, inferer = server
    code, _ = blocks("extending")  # the second is a feature
    assert len(code[code.index("class Remote") :].split("\n\n", 1)[1].strip().splitlines()) <= 10
    site = tmp_path / "site"
    about = site / "my_package-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "my_package.py").write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[hepvae.inferers]\nremote = my_package:Remote\n")
    monkeypatch.syspath_prepend(site)
    model = tmp_path / "conv.remote"
    model.write_text(json.dumps({"url": url, "card": inferer.card.to_dict()}))
    remote = hepvae.load_inferer(model)
    assert remote.runtime == "remote"
    ours, theirs = (hepvae.score_dijets(signal_events, one) for one in (inferer, remote))
    assert np.asarray(theirs.score) == pytest.approx(np.asarray(ours.score), rel=1e-5)
    padded = hepvae.pad_particles(signal_events, inferer.spec)
    assert remote.reconstruct(padded) == pytest.approx(inferer.reconstruct(padded), rel=1e-5, abs=1e-5)


def test_a_feature_of_a_package_of_its_own(tmp_path, monkeypatch):
    """As the page has it: spec, padding and errors know it."""
    from hepvae.jets import features

    site = tmp_path / "site"
    (site / "more_features-1.0.dist-info").mkdir(parents=True)
    (site / "more_features.py").write_text(blocks("extending")[1])
    about = site / "more_features-1.0.dist-info"
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: more-features\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[hepvae.features]\nmine = more_features:MT\n")
    monkeypatch.syspath_prepend(site)
    features._foreign_rows.cache_clear()
    try:
        spec = hepvae.InputSpec(9, ("pt", "mass", "mt"))
        events = hepvae.read_dijets(hepvae.sample_path("qcdSig"), entry_stop=20, spec=spec)
        padded = hepvae.pad_particles(events, spec)
    finally:
        features._foreign_rows.cache_clear()
    assert padded[..., 2] == pytest.approx(np.hypot(padded[..., 0], padded[..., 1]), rel=1e-6)


def test_adopt_on_the_command_line(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    from helpers.foreign_models import scaled

    onnx.save(scaled(["jets", 20, 3]), tmp_path / "net.onnx")
    net, card, output = (str(tmp_path / name) for name in ("net.onnx", "card.toml", "adopted"))
    assert main(["adopt", net, "--draft", card]) == 0
    check = ["--check", str(hepvae.sample_path("qcdSig"))]
    assert main(["adopt", net, "--card", card, "--output", output, *check]) == 0
    assert "ONNX Runtime against the model as it came, worst of" in capsys.readouterr().out
    scored = str(tmp_path / "scored.root")
    assert main(["score", str(hepvae.sample_path("qcdSig")), "--model", output, "--output", scored]) == 0
    assert main(["rescore", scored, "--strategy", "max", "--output", str(tmp_path / "max.root")]) == 0
    assert "score is max of loss\n" in capsys.readouterr().out  # not of a kl_loss that there is none of
    assert main(["plot", f"QCD={scored}", "--output", str(tmp_path / "s.png"), "--save"]) == 0
    with uproot.open(tmp_path / "s.root") as file:
        assert file["QCD"].member("fXaxis").member("fTitle") == "Anomaly score (net, min)"  # not (adopted, min)
    assert main(["adopt", net, "--card", card, "--output", output]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["adopt", net, "--output", output]) == 2
    assert "--card is missing" in capsys.readouterr().err
    assert main(["model", output]) == 0
    shown = capsys.readouterr().out
    assert '\n                      reco = "mse"  # one of' in shown  # it was one long line, with \\n


@pytest.mark.slow
def test_search_with_a_model_that_reconstructs_no_momenta(tmp_path, monkeypatch, capsys):
    """`hepvae search` ended at the last figure with "jets need eta of their constituents"."""
    monkeypatch.chdir(tmp_path)
    onnx.save(scaled(["jets", 20, 3]), "net.onnx")
    card = """
name = "own"
[input]
n_particles = 20
features = [["log_pt", 1.7, 0.7], "deta", "dphi"]
[output]
reconstruction = 0
[loss]
reco = "mse"
"""
    (tmp_path / "card.toml").write_text(card)
    assert main(["adopt", "net.onnx", "--card", "card.toml", "--output", "own"]) == 0
    options = ["--toys", "20", "--strategies", "min", "--no-baselines", "--output", "search"]
    assert main(["search", "--model", "own", *options]) == 0
    assert "own: reconstructs no eta, phi and pt of constituents" in capsys.readouterr().out
    assert (tmp_path / "search" / "report.html").is_file()
