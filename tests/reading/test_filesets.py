from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.scored import read_scores

import hepvae
from hepvae.cli import main
from hepvae.reading.filesets import cross_section
from hepvae.reading.sources import resolve
from hepvae.scoring.collected import collected, picobarns_of, read_sample
from hepvae.scoring.parts import part_names
from hepvae.search.samples import SampleFiles, load_sample


@pytest.fixture
def files(tmp_path):
    paths = []
    for i in range(3):
        paths.append(str(write_events(tmp_path / f"{i}.root", random_tables(np.random.default_rng(i), events=20))))
    return paths


def forms(files):
    """The forms that coffea takes, of two datasets."""
    a, b, c = files
    return {
        "lists": {"one": [a, b], "two": [c]},
        "trees": {"one": {"files": {a: "Events", b: "Events"}}, "two": {"files": {c: "Events"}}},
        "treename": {"one": {"treename": "Events", "files": [a, b]}, "two": {"treename": "Events", "files": [c]}},
        "preprocessed": {
            "one": {
                "files": {
                    a: {"object_path": "Events", "steps": [[0, 15], [15, 20]], "num_entries": 20, "uuid": "x"},
                    b: {"object_path": "Events", "steps": None},
                },
                "form": None,
                "metadata": {"xsec": 12.5},
            },
            "two": {"files": {c: {"object_path": "Events", "num_entries": 20}}, "metadata": None},
        },
    }


@pytest.mark.parametrize("form", ["lists", "trees", "treename", "preprocessed"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_fileset_is_an_input_wherever_files_are(files, tmp_path, form, in_memory):
    fileset = forms(files)[form]
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    sources = resolve(fileset if in_memory else tmp_path / "fileset.json")
    assert [source.path for source in sources] == files
    assert [source.dataset.name for source in sources] == ["one", "one", "two"]
    assert all(source.tree in ("Events", None) for source in sources)
    given = fileset if in_memory else str(tmp_path / "fileset.json")
    assert len(hepvae.read_dijets(given)) == len(hepvae.read_dijets(files))


@pytest.mark.parametrize(
    "fileset, message",
    [
        ([1], "expected a fileset"),
        ({"one": {"files": {}}}, "dataset 'one': expected 'files'"),
        ({"one": 3}, "dataset 'one': expected 'files'"),
        ({"one": {"files": {"a.root": 3}}}, "one.*a.root: expected a path, and the name of a tree"),
        (
            {"one": {"files": {"a.root": {"steps": [[0, 5], [4, 9]]}}}},
            r"step \[4, 9\]: expected entries of the file",
        ),
        ({"one": {"files": {"a.root": {"steps": [[-1, 5]]}}}}, r"step \[-1, 5\]: expected entries of the file"),
        (
            {"one": {"files": {"a.root": {"steps": [[0, 5]], "num_entries": 4}}}},
            r"step \[0, 5\]: expected entries",
        ),
        ({"one": {"files": {"a.root": {"steps": [0]}}}}, "expected steps"),
    ],
)
def test_what_is_no_fileset(tmp_path, fileset, message):
    path = tmp_path / "fileset.json"
    path.write_text(json.dumps(fileset))
    with pytest.raises(hepvae.LayoutError, match=f"fileset.json.*{message}"):
        resolve(path)


def test_a_file_that_has_other_entries_than_its_fileset_says(files, tmp_path):
    fileset = {"one": {"files": {files[0]: {"object_path": "Events", "num_entries": 21}}}}
    with pytest.raises(hepvae.FileError, match="has 20 entries, its fileset says 21"):
        hepvae.read_dijets(fileset)


@pytest.fixture
def stepped(files):
    """As coffea's ``max_chunks`` and ``slice_chunks`` leave a fileset: parts of a file, and all of another."""
    some = {"object_path": "Events", "steps": [[2, 7], [7, 9], [12, 20]], "num_entries": 20}
    every = {"object_path": "Events", "steps": [[0, 11], [11, 20]], "num_entries": 20}
    return {"one": {"files": {files[0]: some, files[1]: every}, "metadata": {"xsec": 3.0}}}


def test_steps_that_leave_out_entries(files, stepped, tmp_path, capsys):
    """They were refused, though `max_chunks` of coffea gives nothing else."""
    with uproot.update(files[0]) as file:
        file["Runs"] = {"genEventSumw": np.array([1000.0])}
    with uproot.update(files[1]) as file:
        file["Runs"] = {"genEventSumw": np.array([300.0])}
    sources = resolve(stepped)
    assert [source.span for source in sources] == [(2, 9), (12, 20), None]
    assert len(hepvae.read_dijets(stepped)) == sum(
        len(hepvae.read_dijets(files[0], entry_start=start, entry_stop=stop)) for start, stop in ((2, 9), (12, 20))
    ) + len(hepvae.read_dijets(files[1]))
    fileset = tmp_path / "fileset.json"
    fileset.write_text(json.dumps(stepped))
    command = ["score", str(fileset), "--model", "conv", "--mjj-min", "0", "--pt-min", "0"]
    assert main([*command, "--output", str(tmp_path / "whole.root")]) == 0
    output = tmp_path / "scored"
    for share in ("1/2", "2/2"):
        assert main([*command, "--split", share, "--output", f"{output}/"]) == 0
    names = [path.name for path in sorted((output / "one").glob("*.root"))]
    assert names == ["0_12-20.root", "0_2-9.root", "1.root"]
    record = json.loads((output / "one" / "0_2-9.root.json").read_text())
    assert record["input"][0] == f"{files[0]}[2:9]" and record["report"]["events_read"] == 7
    events = [
        uproot.open(output / "one" / name)["Events/event"].array() for name in ("0_2-9.root", "0_12-20.root")
    ]
    written = uproot.open(tmp_path / "whole.root")["Events"].arrays(["event", "score"], library="np")
    with uproot.open(files[0]) as file:
        every = file["Events/event"].array(library="np")
    assert set(np.concatenate(events)) <= {*every[2:9], *every[12:]} and len(np.concatenate(events)) > 5
    assert written["event"][: sum(map(len, events))].tolist() == np.concatenate(events).tolist()
    # The sum of weights of generation is that of the share of the entries.
    assert collected(output).weights()["one"] == (pytest.approx(750 + 300), 3.0)
    capsys.readouterr()
    assert main([*command, "--output", f"{output}/", "--resume"]) == 0
    assert "3 of 3 files were scored already" in capsys.readouterr().err
    assert main(["report", str(output), "--check"]) == 0
    # The rest of the file, named later, has a part of its own.
    some = stepped["one"]["files"][files[0]]
    fileset.write_text(
        json.dumps({**stepped, "one": {**stepped["one"], "files": {files[0]: {**some, "steps": [[9, 12]]}}}})
    )
    assert main([*command, "--output", f"{output}/", "--resume"]) == 0
    assert main(["report", str(output)]) == 0
    assert "38 read from 4 files" in capsys.readouterr().out.replace("\n", " ")


def test_steps_on_dask_workers(stepped, tmp_path):
    distributed = pytest.importorskip("distributed")
    inferer = hepvae.load_inferer(hepvae.model_path("conv"), threads=1)
    options = {"step_size": 3, "mjj_min": 0, "pt_min": 0}
    hepvae.score_files(stepped, inferer, f"{tmp_path}/here/", **options)
    with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as client:
        hepvae.score_files(stepped, inferer, f"{tmp_path}/there/", client=client, **options)
        hepvae.score_files(stepped, inferer, tmp_path / "there.root", client=client, **options)
    read = [uproot.open(path)["Events"].arrays(library="np") for path in sorted(tmp_path.glob("here/one/*.root"))]
    for path, expected in zip(sorted(tmp_path.glob("there/one/*.root")), read, strict=True):
        columns = uproot.open(path)["Events"].arrays(library="np")
        assert all(columns[name].tobytes() == expected[name].tobytes() for name in expected)
    whole = uproot.open(tmp_path / "there.root")["Events/score"].array(library="np")
    assert whole.tolist() == np.concatenate([read[i]["score"] for i in (1, 0, 2)]).tolist()


def test_steps_where_every_entry_counts(files, stepped, tmp_path):
    for options in ({"friend": True}, {"jets": "all"}):
        with pytest.raises(hepvae.OptionError, match=r"0\.root\[2:9\]: its fileset leaves out entries"):
            hepvae.score_files(stepped, hepvae.load_inferer("conv"), tmp_path / "s.root", **options)
    with pytest.raises(hepvae.LayoutError, match=r"0\.root\[2:9\]: .*: expected scored files: hepvae score"):
        SampleFiles.of("QCD", stepped)
    (tmp_path / "a.json").write_text(json.dumps(stepped))
    (tmp_path / "b.json").write_text(json.dumps({**stepped, "one": {**stepped["one"], "files": [files[0]]}}))
    with pytest.raises(hepvae.LayoutError, match="expected each entry of a dataset once"):
        resolve([tmp_path / "a.json", tmp_path / "b.json"])
    beyond = {"one": {"files": {files[0]: {"object_path": "Events", "steps": [[15, 21]]}}}}
    with pytest.raises(hepvae.FileError, match="has 20 entries, its fileset names those up to 21"):
        hepvae.read_dijets(beyond)


def test_datasets_get_folders_and_their_cross_section(files, tmp_path, capsys):
    with uproot.update(files[0]) as file:
        file["Runs"] = {"genEventSumw": np.array([300.0, 200.0])}
    fileset = {
        "one": {"files": {files[0]: "Events"}, "metadata": {"xsec": 2.5}},
        "two": {"files": {files[1]: "Events", files[2]: "Events"}, "metadata": {"cross_section": "7"}},
    }
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    output = tmp_path / "scored"
    command = ["score", str(tmp_path / "fileset.json"), "--model", "conv", "--mjj-min", "0"]
    assert main([*command, "--output", f"{output}/"]) == 0
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*.root")) == [
        *("one/0.root", "two/1.root", "two/2.root")
    ]
    summed = 0.0
    for path in files[1:]:
        with uproot.open(path) as file:
            summed += file["Events"]["genWeight"].array(library="np").sum(dtype=np.float64)
    weights = collected(output).weights()
    assert weights["one"] == (500.0, 2.5) and weights["two"] == (pytest.approx(summed), 7.0)
    capsys.readouterr()
    assert main(["report", str(output)]) == 0
    assert "one: sum of weights 500, cross-section 2.5 pb" in capsys.readouterr().out
    # A dataset is a folder of its own, as a sample of plots and searches.
    _, weight, _ = read_sample(output / "two", ["score"])
    plain = np.concatenate([read_scores(output / "two" / f"{i}.root")[1] for i in (1, 2)])
    assert np.allclose(weight, plain * 7.0 / summed)
    _, events, _ = read_sample(output / "two", ["score"], luminosity=3.0)
    assert np.allclose(events, 3000 * weight)
    parts = [str(output / "two" / f"{i}.root") for i in (1, 2)]
    each = 7.0 / summed
    assert picobarns_of(parts) == pytest.approx([each, each])
    assert picobarns_of([*parts, str(output / "one" / "0.root")]) == pytest.approx([each, each, 2.5 / 500])
    assert picobarns_of(files) == []
    with pytest.raises(hepvae.FileError, match="no cross-section is known of it, and of others is"):
        picobarns_of([*parts, files[0]])
    # Datasets together are a sample, each scaled to its cross-section.
    _, both, _ = read_sample(output, ["score"])
    first = read_scores(output / "one" / "0.root")[1]
    assert np.allclose(both, np.concatenate([plain * each, first * 2.5 / 500]))
    loaded = load_sample([str(output / "one" / "0.root"), *parts], "both")
    events = dict(zip(read_sample(output, ["mjj"])[0][:, 0].astype(float), both))
    assert len(loaded.mjj) and np.allclose(loaded.weight * max(each, 2.5 / 500), [events[m] for m in loaded.mjj])
    # A merged file keeps it.
    assert main(["merge", str(output), str(tmp_path / "m.root")]) == 1
    assert "has datasets with cross-sections, whose weights do not add up: one, two" in capsys.readouterr().err
    merged = tmp_path / "m.root"
    assert main(["merge", str(output / "two"), str(merged)]) == 0
    assert np.allclose(read_sample(merged, ["score"])[1], plain * each)
    assert np.allclose(read_sample(merged, ["score"], luminosity=3.0)[1], 3000 * plain * each)
    assert picobarns_of([str(merged)]) == pytest.approx([each])
    figure = tmp_path / "score.png"
    assert main(["plot", str(output / "one"), str(output / "two"), "--output", str(figure)]) == 0
    assert figure.stat().st_size > 10_000


def test_a_name_that_comes_twice_in_a_fileset(files, tmp_path):
    """JSON gave the second one; the first dataset was lost without a word."""
    path = tmp_path / "fileset.json"
    path.write_text(f'{{"one": {{"files": ["{files[0]}"]}}, "one": {{"files": ["{files[1]}"]}}}}')
    with pytest.raises(
        hepvae.FileError, match=r"fileset\.json: no fileset can be read from it: .*'one' comes twice"
    ):
        resolve(path)


def test_datasets_whose_names_are_no_names_of_folders(files):
    """Both went to ``a_b``, with the cross-section of the first."""
    names = part_names(resolve({"a/b": [files[0]], "a_b": [files[1]], "..": [files[2]]}), ".root")
    assert [name.rpartition("/")[2] for name in names] == ["0.root", "1.root", "2.root"]
    folders = [name.partition("/")[0] for name in names]
    assert folders[1] == "a_b" and folders[0].startswith("a_b-") and folders[2].startswith("_.-")


def test_the_cross_section_of_a_dataset_is_one(files, tmp_path, capsys):
    """Of two filesets the first one counted; of two calls whichever was listed last."""
    command = ["score", "--model", "conv", "--mjj-min", "0", "--output", f"{tmp_path}/scored/"]
    for i, picobarns in enumerate((1, 7)):
        fileset = {"one": {"files": [files[i]], "metadata": {"xsec": picobarns}}}
        (tmp_path / f"{i}.json").write_text(json.dumps(fileset))
    both = [str(tmp_path / f"{i}.json") for i in range(2)]
    assert main([*command, *both]) == 1
    assert "one: its filesets have different cross-sections, " in capsys.readouterr().err
    assert main([*command, both[0]]) == main([*command, both[1], "--resume"]) == 0
    assert main(["report", f"{tmp_path}/scored"]) == 1
    assert "one: its filesets have different cross-sections, " in capsys.readouterr().err
    # Corrected in the fileset, it counts from the next call on.
    fileset = {"one": {"files": files[:2], "metadata": {"xsec": 3}}}
    Path(both[0]).write_text(json.dumps(fileset))
    assert main([*command, both[0], "--resume"]) == 0
    assert collected(tmp_path / "scored").weights()["one"][1] == 3


@pytest.mark.parametrize("value", [0, -1, "much", None, float("inf")])
def test_no_cross_section(value):
    with pytest.raises(hepvae.LayoutError, match="expected a cross-section in pb"):
        cross_section({"xsec": value}, "ttbar")
    assert cross_section({"other": value}, "ttbar") is None
