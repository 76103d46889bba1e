"""Parts: one scored file for each input, with the rows of the single file, whatever happens in between."""

from __future__ import annotations

import gc
import json
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.dijet_files import random_tables, write_events
from helpers.scored import DYING

import hepvae
from hepvae.cli import main
from hepvae.output.files import temporary_name, temporary_of
from hepvae.output.folders import open_folder
from hepvae.reading.options import ReadOptions
from hepvae.reading.reports import FileReport
from hepvae.reading.sources import Source, stamp
from hepvae.scoring.collected import collected, merge_parts
from hepvae.scoring.form import ScoredForm
from hepvae.scoring.options import OutputOptions
from hepvae.scoring.parts import Parts, Record, part_names, share

FILES = 5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for i in range(FILES):
        write_events(folder / f"{i}.root", random_tables(np.random.default_rng(i), events=10 + 15 * (i % 3)))
    return folder


def score(files, conv, output, **options):
    return hepvae.score_files(files, conv, output, step_size=15, **options)


def flat(path):
    """All columns, as bytes."""
    if str(path).endswith(".parquet"):
        from pyarrow.parquet import read_table

        table = read_table(path)
        return {name: ak.from_arrow(table[name].combine_chunks()) for name in table.column_names}
    with uproot.open(path) as file:
        columns = file["Events"].arrays()
        return {name: columns[name] for name in columns.fields}


def assert_equal_rows(paths, whole):
    parts, expected = [flat(path) for path in paths], flat(whole)
    assert parts and all(list(part) == list(expected) for part in parts)
    for name, values in expected.items():
        joined = ak.concatenate([part[name] for part in parts])
        assert str(joined.type) == str(values.type)
        ours, theirs = (ak.to_numpy(ak.flatten(one, axis=None)) for one in (joined, values))
        assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes(), name


KINDS = {
    "events": {"mjj_min": 0},
    "friend": {"mjj_min": 0, "friend": True},
    "jets": {"jets": "all"},
}


@pytest.mark.parametrize("suffix", ["root", "parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_have_the_rows_of_the_single_file_and_merge_to_it(inputs, conv, tmp_path, kind, suffix):
    whole = score(inputs, conv, tmp_path / f"whole.{suffix}", **KINDS[kind])
    report = score(inputs, conv, f"{tmp_path}/parts/", format=suffix, **KINDS[kind])
    parts = [tmp_path / "parts" / f"{i}.{suffix}" for i in range(FILES)]
    assert report.files == whole.files and report.written
    assert_equal_rows(parts, tmp_path / f"whole.{suffix}")
    names = [path.name for path in (tmp_path / "parts").iterdir() if not path.name.startswith("inputs-")]
    assert sorted(names) == sorted(f"{i}.{suffix}{end}" for i in range(FILES) for end in ("", ".json"))
    merge_parts(collected(tmp_path / "parts"), tmp_path / f"merged.{suffix}")
    assert_equal_rows([tmp_path / f"merged.{suffix}"], tmp_path / f"whole.{suffix}")
    if suffix == "root":
        with uproot.open(tmp_path / "merged.root") as merged, uproot.open(tmp_path / "whole.root") as expected:
            assert merged["hepvae"] == expected["hepvae"]
            assert merged["Events"].num_entries == expected["Events"].num_entries


@pytest.mark.parametrize("suffix", ["root", "parquet"])
def test_merging_damaged_parts_names_the_output(inputs, conv, tmp_path, suffix):
    """The message named the temporary file that the rows were written to."""
    score(inputs, conv, f"{tmp_path}/parts/", format=suffix)
    found = collected(tmp_path / "parts")
    (tmp_path / "parts" / f"1.{suffix}").write_bytes(b"no scores")
    with pytest.raises(hepvae.FileError) as error:
        merge_parts(found, tmp_path / f"merged.{suffix}")
    assert str(error.value).startswith(f"{tmp_path / f'merged.{suffix}'}: cannot be merged: ")
    assert not list(tmp_path.glob("*merged*"))


def test_files_without_rows_are_merged_with_others(conv, tmp_path):
    (tmp_path / "in").mkdir()
    for i, events in enumerate((0, 20, 0)):
        tables = random_tables(np.random.default_rng(i), events=events)
        write_events(tmp_path / "in" / f"{i}.root", tables, weights=events > 0)
    score(tmp_path / "in", conv, f"{tmp_path}/parts/", mjj_min=0)
    merge_parts(collected(tmp_path / "parts"), tmp_path / "merged.root")
    assert_equal_rows([tmp_path / "parts" / "1.root"], tmp_path / "merged.root")
    score(tmp_path / "in" / "0.root", conv, f"{tmp_path}/none/")
    merge_parts(collected(tmp_path / "none"), tmp_path / "none.root")
    assert len(flat(tmp_path / "none.root")["score"]) == 0


def test_two_inputs_of_one_name_have_parts_of_their_own(inputs, conv, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(inputs / f"{'ab'.index(folder)}.root", tmp_path / folder / "same.root")
    shutil.copy(inputs / "2.root", tmp_path / "a" / "other.root")
    report = score([tmp_path / "a", tmp_path / "b"], conv, f"{tmp_path}/parts/", mjj_min=0)
    names = sorted(path.name for path in (tmp_path / "parts").glob("*.root"))
    assert names[0] == "other.root" and len(names) == 3
    assert all(name.startswith("same-") and len(name) == len("same-12345678.root") for name in names[1:])
    found = collected(tmp_path / "parts")
    assert [part.path for part in found.parts] == [str(Path(file.path)) for file in report.files]
    with pytest.raises(hepvae.FileError, match=r"other\.root: is the part of another input, .*a/other\.root"):
        shutil.copy(inputs / "3.root", tmp_path / "b" / "other.root")
        score(tmp_path / "b" / "other.root", conv, f"{tmp_path}/parts/", mjj_min=0, resume=True)


def test_names_are_such_that_every_storage_takes_them():
    sources = [Source("root://host//a/x y.root?authz=secret"), Source("-a#b.h5"), Source("https://x/.root")]
    assert part_names(sources, ".root") == ["x_y.root", "_a_b.root", "_root.root"]


def test_a_token_is_in_no_name_and_no_record(tmp_path):
    addresses = [[f"root://host//{i}/x.root?authz=secret{token}" for i in (1, 2)] for token in (1, 2)]
    first, second = (part_names([Source(one) for one in of], ".root") for of in addresses)
    assert first == second and len(set(first)) == 2
    assert stamp(addresses[0][0]) == stamp(addresses[1][0])
    folder, sources = open_folder(tmp_path), [Source(one) for one in addresses[0]]
    parts = Parts(folder, sources, [0, 1], ".root", {}, OutputOptions())
    parts.fail(parts.mine[0], FileReport(addresses[0][0], failure=str(hepvae.FileError(addresses[0][0]))))
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert len(written) == 2 and not any("secret" in text for text in written)


def test_a_bad_file_among_good_ones(inputs, tmp_path, capsys):
    files = [str(inputs / "0.root"), str(tmp_path / "bad.root"), str(inputs / "1.root")]
    Path(files[1]).write_text("no ROOT file")
    command = ["score", *files, "--model", "conv", "--mjj-min", "0", "--output", f"{tmp_path}/parts/"]
    assert main(command) == 1
    assert "bad.root: not a ROOT file" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "parts").glob("*.root")) == ["0.root", "1.root"]
    assert main(["report", str(tmp_path / "parts")]) == 1
    printed = capsys.readouterr()
    assert "missing: " in printed.err and "bad.root: not a ROOT file" in printed.err
    assert "1 of 3 inputs have no part" in printed.err and "read from 2 files" in printed.out
    assert main(["merge", str(tmp_path / "parts"), str(tmp_path / "m.root")]) == 1
    assert not (tmp_path / "m.root").exists()
    assert main(["merge", str(tmp_path / "parts"), str(tmp_path / "m.root"), "--allow-failed", "1"]) == 0
    capsys.readouterr()
    # With the broken file replaced, it alone is read.
    shutil.copy(inputs / "2.root", files[1])
    assert main([*command, "--resume"]) == 0
    assert "2 of 3 files were scored already" in capsys.readouterr().err
    assert main(["report", "--check", str(tmp_path / "parts")]) == 0
    assert "3 parts have their recorded checksum" in capsys.readouterr().out


def test_shares_are_a_division_that_all_agree_on(inputs, conv, tmp_path):
    whole = score(inputs, conv, f"{tmp_path}/whole/", mjj_min=0)
    scored = []
    for i in (3, 1, 2):
        scored += score(inputs, conv, f"{tmp_path}/parts/", mjj_min=0, split=f"{i}/3").files
        missing = len(collected(tmp_path / "parts").missing)
        assert missing == FILES - len(scored)
    assert sorted(file.path for file in scored) == sorted(file.path for file in whole.files)
    for i in range(FILES):
        assert_equal_rows([tmp_path / "parts" / f"{i}.root"], tmp_path / "whole" / f"{i}.root")
    assert collected(tmp_path / "parts").report.events_scored == whole.events_scored
    names = {path.name for path in (tmp_path / "parts").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}  # one list of inputs, too
    assert score(inputs, conv, f"{tmp_path}/parts/", mjj_min=0, split="9/9").files == []


def test_shares_have_about_as_many_bytes(tmp_path):
    sources = []
    for i, size in enumerate((1000, 10, 20, 400, 600, 30, 0)):
        (tmp_path / str(i)).write_bytes(bytes(size))
        sources.append(Source(str(tmp_path / str(i))))
    shares = [share(sources, i, 2, ReadOptions()) for i in (1, 2)]
    assert shares == [[0, 5, 6], [1, 2, 3, 4]]
    assert sum(share(sources, i, 10, ReadOptions()) != [] for i in range(1, 11)) == 7


@pytest.mark.parametrize("split", ["0/2", "3/2", "1", "a/b", "1/2/3"])
def test_no_share(split, inputs, conv, tmp_path):
    with pytest.raises(hepvae.OptionError, match="expected I/N with I from 1 to N"):
        score(inputs, conv, f"{tmp_path}/parts/", split=split)
    with pytest.raises(hepvae.OptionError, match="expected a folder"):
        score(inputs, conv, tmp_path / "s.root", split="1/2")
    with pytest.raises(hepvae.OptionError, match="expected a folder"):
        score(inputs, conv, tmp_path / "s.root", format="parquet")


#: Dies in the third file.
SCRIPT = f"""
import sys
import hepvae
{DYING}
conv = Dying(hepvae.load_inferer(hepvae.model_path("conv")), 6)
hepvae.score_files(sys.argv[1], conv, sys.argv[2], mjj_min=0, step_size=15)
"""


def test_a_killed_run_goes_on_with_exactly_what_has_no_valid_part(inputs, conv, tmp_path, monkeypatch):
    score(inputs, conv, f"{tmp_path}/whole/", mjj_min=0)
    parts = tmp_path / "parts"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(inputs), f"{parts}/"], timeout=120)
    assert done.returncode == -signal.SIGKILL
    there = sorted(path.name for path in parts.glob("*.root"))
    assert 2 <= len(there) < FILES
    assert len(collected(parts).missing) == FILES - len(there)
    # One that is damaged, and what a process leaves that is killed while it writes.
    content = bytearray((parts / "0.root").read_bytes())
    content[len(content) // 2] ^= 1
    (parts / "0.root").write_bytes(content)
    (parts / temporary_name("4.root")).write_text("half")
    assert len(collected(parts, check=True).missing) == FILES - len(there) + 1
    written = {name: (parts / name).stat().st_mtime_ns for name in there}
    report = score(inputs, conv, f"{parts}/", mjj_min=0, resume=True)
    assert report.files_resumed == len(there) - 1 and not report.failed
    for i in range(FILES):
        assert_equal_rows([parts / f"{i}.root"], tmp_path / "whole" / f"{i}.root")
    again = {name for name in there if (parts / name).stat().st_mtime_ns != written[name]}
    assert again == {"0.root"}
    assert not any(temporary_of(path.name) for path in parts.iterdir())
    assert collected(parts, check=True).missing == []


def test_what_is_there_is_not_replaced_unasked(inputs, conv, tmp_path):
    parts = f"{tmp_path}/parts/"
    score(inputs / "0.root", conv, parts, mjj_min=0)
    with pytest.raises(hepvae.FileError, match=r"0\.root: exists already: expected another folder, --resume or"):
        score(inputs, conv, parts, mjj_min=0)
    with pytest.raises(hepvae.FileError, match=r"0\.root: was scored with other: strategy: expected another"):
        score(inputs, conv, parts, mjj_min=0, strategy="max", resume=True)
    # More files come to those that are there.
    assert score(inputs, conv, parts, mjj_min=0, resume=True).files_resumed == 1
    with pytest.raises(hepvae.FileError, match="was scored with other strategy than "):
        score(inputs / "1.root", conv, parts, mjj_min=0, strategy="max", overwrite=True)
        collected(parts)
    score(inputs, conv, parts, mjj_min=0, strategy="max", overwrite=True)
    assert collected(parts).missing == []
    (tmp_path / "parts" / "1.root.json").write_text("{}")
    with pytest.raises(hepvae.FileError, match=r"1\.root: is there without a whole record"):
        score(inputs, conv, parts, mjj_min=0, strategy="max", resume=True)
    copied = tmp_path / "in"
    shutil.copytree(inputs, copied)
    with pytest.raises(hepvae.OptionError, match=r"0\.root: is an input file"):
        score(copied, conv, copied, overwrite=True)


def test_an_input_that_changed_is_scored_again(inputs, conv, tmp_path):
    copied = tmp_path / "in"
    shutil.copytree(inputs, copied)
    score(copied, conv, f"{tmp_path}/parts/", mjj_min=0)
    shutil.copy(inputs / "1.root", copied / "0.root")
    report = score(copied, conv, f"{tmp_path}/parts/", mjj_min=0, resume=True)
    assert report.files_resumed == FILES - 1
    assert_equal_rows([tmp_path / "parts" / "0.root"], tmp_path / "parts" / "1.root")


def test_records_say_what_a_part_was_made_of(inputs, conv, tmp_path):
    score(inputs, conv, f"{tmp_path}/parts/", mjj_min=0)
    record = json.loads((tmp_path / "parts" / "0.root.json").read_text())
    assert record["input"][0] == str(inputs / "0.root") and record["size"] > 0 and len(record["adler32"]) == 8
    assert record["options"]["sha256"] == conv.sha256 and record["options"]["selection"]["mjj_min"] == 0
    with uproot.open(inputs / "0.root") as file:
        assert record["report"]["sum_of_weights"] == pytest.approx(
            file["Events"]["genWeight"].array().to_numpy().sum()
        )


def test_a_folder_without_parts(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "no folder of parts: expected one that hepvae score has written" in capsys.readouterr().err
    (tmp_path / f"inputs-{16 * '0'}.json").write_text("[]")
    assert main(["merge", str(tmp_path), str(tmp_path / "m.root")]) == 1
    assert "is no list of inputs of hepvae score" in capsys.readouterr().err


@pytest.fixture(scope="module")
def scored(inputs, conv, tmp_path_factory):
    """Parts of three files, to be copied and broken."""
    folder = tmp_path_factory.mktemp("scored")
    score([inputs / f"{i}.root" for i in range(3)], conv, f"{folder}/", mjj_min=0)
    return folder


@pytest.mark.parametrize(
    "field, value",
    [
        ("input", None),
        ("input", []),
        ("options", None),
        ("report", {"events_read": "x"}),
        ("size", -1),
        (None, None),
    ],
)
def test_a_damaged_record_counts_as_none(scored, inputs, conv, tmp_path, field, value):
    """Users saw tracebacks of `report` and `--resume`."""
    parts = shutil.copytree(scored, tmp_path / "parts")
    record = json.loads((parts / "1.root.json").read_text())
    if field == "report":
        value = {**record["report"], **value}
    damaged = json.dumps({**record, field: value}) if field else json.dumps(record)[:300]
    (parts / "1.root.json").write_text(damaged)
    assert [part.name for part in collected(parts).missing] == ["1.root"]
    files = [inputs / f"{i}.root" for i in range(3)]
    with pytest.raises(hepvae.FileError, match=r"1\.root: is there without a whole record.*--resume with --over"):
        score(files, conv, parts, mjj_min=0, resume=True)
    assert score(files, conv, parts, mjj_min=0, resume=True, overwrite=True).files_resumed == 2
    assert collected(parts, check=True).missing == []


def test_a_damaged_list_of_inputs_is_refused(scored, tmp_path, capsys):
    """Users saw tracebacks where the list was valid JSON."""
    parts = shutil.copytree(scored, tmp_path / "parts")
    (path,) = parts.glob("inputs-*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "inputs": [["0.root"]]}))
    assert main(["report", str(parts)]) == 1
    assert "damaged: remove it, then hepvae score with --resume writes it again" in capsys.readouterr().err


def test_a_part_that_stands_for_another_input_is_missing(scored, tmp_path):
    """The part of one input copied over that of another, with its record, was merged twice."""
    parts = shutil.copytree(scored, tmp_path / "parts")
    for end in ("", ".json"):
        shutil.copy(parts / f"2.root{end}", parts / f"1.root{end}")
    (missing,) = collected(parts).missing
    assert missing.name == "1.root" and "is the part of another input" in str(missing.missing)


def test_another_format_is_not_mixed_in(scored, inputs, conv, tmp_path):
    """Events of a folder with TTrees and Parquet of the same inputs counted twice."""
    parts = shutil.copytree(scored, tmp_path / "parts")
    with pytest.raises(hepvae.FileError, match=r"0\.root: is a part of another format: expected another folder"):
        score(inputs / "0.root", conv, parts, mjj_min=0, format="parquet", resume=True)


def test_an_input_keeps_its_part_when_one_of_its_name_comes(inputs, conv, tmp_path):
    """It got a second part, under the name with a digest, and counted twice."""
    for i, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        shutil.copy(inputs / f"{i}.root", tmp_path / folder / "same.root")
    files = [tmp_path / folder / "same.root" for folder in "ab"]
    score(files[0], conv, f"{tmp_path}/parts/", mjj_min=0)
    assert score(files, conv, f"{tmp_path}/parts/", mjj_min=0, resume=True).files_resumed == 1
    found = collected(tmp_path / "parts")
    assert len(found.parts) == 2 and found.parts[0].name == "same.root" and not found.missing
    assert score(files[1], conv, f"{tmp_path}/parts/", mjj_min=0, resume=True).files_resumed == 1
    assert len(collected(tmp_path / "parts").parts) == 2


def test_a_merged_file_is_not_written_among_the_parts(scored, tmp_path):
    """With --overwrite it took the place of a part; a search read its events and those of the parts."""
    parts = shutil.copytree(scored, tmp_path / "parts")
    for name in ("1.root", "merged.root"):
        with pytest.raises(hepvae.FileError, match="is in the folder of the parts"):
            merge_parts(collected(parts), parts / name, overwrite=True)
    assert collected(parts, check=True).missing == []


def test_more_shares_than_files_cost_nothing(inputs):
    sources = [Source(str(path)) for path in sorted(inputs.iterdir())]
    assert share(sources, 999_999_999, 999_999_999, ReadOptions()) == []
    assert share(sources, 1, 999_999_999, ReadOptions()) == share(sources, 1, FILES, ReadOptions())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(inputs, conv, tmp_path):
    """Of each file its report is left, whatever was read, scored and written of it."""
    files = []
    for i in range(20):
        files.append(tmp_path / f"{i:02}.root")
        shutil.copy(inputs / "0.root", files[-1])
    score(files[:2], conv, f"{tmp_path}/first/", mjj_min=0)
    left = []
    for number in (4, 20):
        tracemalloc.start()
        report = score(files[:number], conv, f"{tmp_path}/{number}/", mjj_min=0)
        gc.collect()
        left.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(report.files) == number
    assert left[1] - left[0] < 16 * 8_000


@pytest.mark.parametrize("moment", ["before its record", "after its record"])
def test_the_same_call_at_the_same_time(inputs, inferer, tmp_path, monkeypatch, moment):
    """What one call was writing was removed by the other; a part of one and the record of the other were mixed."""
    parts, begun = f"{tmp_path}/parts/", []
    write = ScoredForm.write if moment == "before its record" else Record.write

    def interrupted(*given):
        write(*given)
        if not begun:
            begun.append(True)
            assert not score(inputs, inferer, parts, mjj_min=0, resume=True).failed

    monkeypatch.setattr(ScoredForm if write is ScoredForm.write else Record, "write", interrupted)
    if moment == "after its record":
        monkeypatch.setattr(Parts, "clean", lambda self: None)
    assert not score(inputs, inferer, parts, mjj_min=0).failed
    assert begun and collected(parts, check=True).missing == []
    assert len(list((tmp_path / "parts").iterdir())) == 2 * FILES + 1


def test_two_processes_write_the_same_parts(inputs, tmp_path):
    """An array job that was submitted again while the first one ran."""
    command = [sys.executable, "-m", "hepvae", "score", str(inputs), "--model=conv", "--mjj-min=0", "--resume"]
    command.append(f"--output={tmp_path}/parts/")
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    said = [one.communicate(timeout=300) for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    assert collected(tmp_path / "parts", check=True).missing == []
    assert not [path for path in (tmp_path / "parts").iterdir() if temporary_of(path.name)]
