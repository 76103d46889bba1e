"""hepvae plot, from scored files to figures."""

from __future__ import annotations

import uproot

import hepvae
from hepvae.cli import main


def test_columns_names_formats_and_histograms(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inferer = hepvae.load_inferer(hepvae.model_path("conv"))
    for name in ("qcdSig", "GtoWW15na"):
        hepvae.score_files(hepvae.sample_path(name), inferer, tmp_path / f"{name}.root")
    samples = ["QCD, signal region=qcdSig.root", "G to WW=GtoWW15na.root"]
    assert main(["plot", *samples, "--variable", "mjj", "--output", "mjj", "--save"]) == 0
    assert capsys.readouterr().out.splitlines() == ["mjj.png", "mjj.pdf", "mjj.root"]
    with uproot.open("mjj.root") as file:
        assert file["G_to_WW"].to_hist().sum(flow=True).value > 2000
    assert main(["plot", *samples, "--variable", "mjj,score", "--output", "2d.png"]) == 0
    for wrong, message in (
        (["--output", "2d.png"], "2d.png: exists already"),
        (["--variable", "mj"], "no column 'mj'; nearest: 'mjj'"),
        (["--variable", "mjj,score,deta"], "--variable is 'mjj,score,deta'"),
        (["--data", "DATA"], "--data 'DATA' is unknown: expected one of QCD, signal region, G to WW"),
        (["--scale", "G to WW=much"], "--scale is 'much'"),
    ):
        assert main(["plot", *samples, *wrong]) in (1, 2)
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1


def test_one_file_with_two_names(capsys):
    """The line said "named twice" of "A=x.root and others", not which two names."""
    assert main(["plot", "A=x.root", "B=./x.root", "C=y.root"]) == 2
    said = capsys.readouterr().err
    assert "A=x.root and B=./x.root are the same file: expected another one, or one name of it" in said


def test_weights_that_are_no_cross_sections_are_not_scaled_in_silence(tmp_path, capsys):
    """A stack of generator weights had a luminosity above it, without a word."""
    for name in ("qcdSig", "GtoWW15na"):
        hepvae.score_files(hepvae.sample_path(name), hepvae.load_inferer("conv"), tmp_path / f"{name}.root")
    samples = [f"QCD={tmp_path}/qcdSig.root", f"Data={tmp_path}/GtoWW15na.root"]
    command = ["plot", *samples, "--data=Data", "--lumi=59.8", f"--output={tmp_path}/a.png"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "QCD: no cross-section of its events is known, and they are not scaled to 59.8 fb-1" in said
    assert "Data: " not in said
    assert main([*command, "--scale=QCD=2", "--overwrite"]) == 0
    assert capsys.readouterr().err == ""


def test_scores_of_different_kinds_are_told(tmp_path, capsys):
    """One figure had scores of two models, and a ratio of them."""
    hepvae.score_files(hepvae.sample_path("qcdSig"), hepvae.load_inferer("conv"), tmp_path / "a.root")
    for name, how in (("max", "--strategy=max"), ("weight", "--kl-weight=3"), ("same", "--strategy=min")):
        assert main(["rescore", f"{tmp_path}/a.root", how, f"--output={tmp_path}/{name}.root"]) == 0
        samples = [f"{tmp_path}/a.root", f"{tmp_path}/{name}.root"]
        assert main(["plot", *samples, "--overwrite", f"--output={tmp_path}/a.png"]) == 0
        told = f"do not compare: a: Anomaly score (conv, min); {name}: Anomaly score (conv, m"
        assert (told in capsys.readouterr().err) == (name != "same")
