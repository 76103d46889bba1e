"""Inferers that come to another process by pickle: with their file or without it, and opened once."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import hepvae
from hepvae import load_inferer, model_path
from hepvae.inference import transport


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copy(model_path("conv"), tmp_path / "mine.onnx"))


IN_ANOTHER_PROCESS = """
import pickle, sys
import numpy as np
import hepvae
packed, jets = sys.argv[1:]
with open(packed, "rb") as file:
    content = file.read()
inferer = pickle.loads(content)
assert pickle.loads(content) is inferer
again = pickle.loads(pickle.dumps(inferer))
try:
    losses = inferer(np.load(jets))["loss"]
except hepvae.ModelError as error:
    sys.exit(str(error))
assert np.array_equal(again(np.load(jets))["loss"], losses)
assert np.array_equal(pickle.loads(pickle.dumps(inferer))(np.load(jets))["loss"], losses)
np.save(jets, losses)
print(inferer.path, inferer.threads)
"""


def elsewhere(inferer, jets, folder, **environment):
    (folder / "packed").write_bytes(pickle.dumps(inferer))
    return opened_elsewhere(jets, folder, **environment)


def opened_elsewhere(jets, folder, **environment):
    np.save(folder / "jets.npy", jets)
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, folder / "packed", folder / "jets.npy"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_a_small_model_comes_along(model, signal_jets, tmp_path):
    inferer = load_inferer(model)
    expected = inferer(signal_jets)["loss"]
    (tmp_path / "packed").write_bytes(pickle.dumps(inferer))
    os.unlink(model)
    done = opened_elsewhere(signal_jets, tmp_path, HEPVAE_NUM_THREADS="3")
    assert done.returncode == 0, done.stderr
    path, threads = done.stdout.split()
    assert threads == "3"  # of the process it came to
    assert not os.path.exists(path)  # gone with the process
    assert np.allclose(np.load(tmp_path / "jets.npy"), expected, rtol=1e-6)


def test_a_file_that_is_there_is_taken(model, signal_jets, tmp_path):
    done = elsewhere(load_inferer(model, travels="path"), signal_jets, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(model)
    assert (tmp_path / "packed").stat().st_size < 10_000


@pytest.mark.parametrize("what", ["missing", "other"])
def test_a_path_without_the_model_names_worker_and_path(model, signal_jets, tmp_path, what):
    (tmp_path / "packed").write_bytes(pickle.dumps(load_inferer(model, travels="path")))
    if what == "missing":
        os.unlink(model)
    else:
        shutil.copy(model_path("graph"), model)
    done = opened_elsewhere(signal_jets, tmp_path)
    said = {"missing": "no such model file", "other": "another file than the one that was loaded"}[what]
    assert f"{model}: {said} on worker" in done.stderr and "Traceback" not in done.stderr


def test_a_model_that_was_replaced_does_not_travel_as_the_old_one(model):
    inferer = load_inferer(model)
    shutil.copy(model_path("graph"), model)
    with pytest.raises(hepvae.ModelError, match="is another file than when it was loaded"):
        pickle.dumps(inferer)


def test_threads_that_open_two_inferers_of_one_carried_model(model, tmp_path, signal_jets):
    """Of 240 reads by four threads 69 saw half a file: it is written whole, then renamed."""
    content, sha256 = model.read_bytes(), transport.digest(model)
    gone = tmp_path / "gone" / "mine.onnx"
    gone.parent.mkdir()
    for i in range(30):
        name = gone.with_name(f"{i}.onnx")
        wrong = []

        def read(name=name, wrong=wrong):
            file = transport.local_file(name, sha256, content)
            if file.read_bytes() != content:
                wrong.append(file)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len(list(transport._folder(os.getpid()).glob(f"*/*{name.name}"))) == 1


def test_a_large_model_stays_where_it_is(model, monkeypatch):
    inferer = load_inferer(model)
    assert len(pickle.dumps(inferer)) > 1_000_000
    monkeypatch.setattr(transport, "MOST_BYTES", 1_000_000)
    assert len(pickle.dumps(inferer)) < 10_000
    assert len(pickle.dumps(load_inferer(model, travels="bytes"))) > 1_000_000


def test_a_process_opens_what_arrives_once(model, signal_jets, monkeypatch):
    packed = pickle.dumps(load_inferer(model))
    with ThreadPoolExecutor(8) as pool:
        inferers = list(pool.map(pickle.loads, [packed] * 16))
        assert len({id(one) for one in inferers}) == 1
        opened = []
        kind = inferers[0]._runtime
        open_it = kind.open
        monkeypatch.setattr(kind, "open", lambda *given: opened.append(1) or open_it(*given))
        list(pool.map(lambda one: one(signal_jets[:2]), inferers))
    assert opened == [1]
    other = pickle.loads(pickle.dumps(load_inferer(model, block_size=7)))
    assert other is not inferers[0] and other.tuning.block_size == 7


def test_travels_is_one_of_two():
    with pytest.raises(hepvae.OptionError, match="travels 'mail' is unknown: expected one of bytes, path"):
        load_inferer(model_path("conv"), travels="mail")
