from __future__ import annotations

import subprocess
import sys

import pytest

import hepvae

NAMES = [
    "CachedInferer",
    "DataError",
    "FileError",
    "HepvaeError",
    "InputSpec",
    "LayoutError",
    "MissingPackageError",
    "ModelError",
    "OptionError",
    "Runtime",
    "SpecError",
    "UnscoredJetsWarning",
    "adopt",
    "dijet_events",
    "dijets",
    "export_litert",
    "export_onnx",
    "iterate_dijets",
    "iterate_jets",
    "load_inferer",
    "model_path",
    "pad_particles",
    "read_dijets",
    "read_jets",
    "sample_path",
    "score_dijets",
    "score_files",
    "score_jets",
    "select_dijets",
    "to_tf_dataset",
    "with_constituents",
]


def test_public_names():
    assert sorted(hepvae.__all__) == NAMES
    assert sorted(dir(hepvae)) == sorted([*NAMES, "__version__"])
    for name in NAMES:
        assert getattr(hepvae, name).__doc__
    with pytest.raises(AttributeError, match="module 'hepvae' has no attribute 'read_dijet'"):
        hepvae.read_dijet  # noqa: B018


def test_errors_are_also_those_of_python():
    for error, builtin in [
        ("FileError", OSError),
        ("LayoutError", KeyError),
        ("DataError", ValueError),
        ("SpecError", ValueError),
        ("ModelError", ValueError),
        ("OptionError", ValueError),
        ("MissingPackageError", ImportError),
    ]:
        assert issubclass(getattr(hepvae, error), hepvae.HepvaeError)
        assert issubclass(getattr(hepvae, error), builtin)
        assert str(getattr(hepvae, error)("a line")) == "a line"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_import_loads_nothing_heavy():
    heavy = {"tensorflow", "keras", "matplotlib", "mplhep", "onnxruntime", "onnx", "tf2onnx", "dask", "rich"}
    light = {"numpy", "awkward", "numba", "vector", "uproot"}
    done = run(
        f"import sys, hepvae; print(*({heavy | light} & set(sys.modules)))\n"
        f"hepvae.load_inferer, hepvae.score_files, hepvae.adopt; print(*({heavy | {'numba'}} & set(sys.modules)))"
    )
    assert (done.returncode, done.stdout.split()) == (0, [])


def test_help_waits_for_no_package_of_the_analysis():
    """``hepvae --help`` took two seconds, and four on a busy machine."""
    packages = {"numpy", "awkward", "numba", "uproot", "rich", "tensorflow", "onnxruntime"}
    done = run(
        "import sys\n"
        "from hepvae.cli import main\n"
        "assert main(['--help']) == 0\n"
        f"print('imported:', *({packages} & set(sys.modules)))"
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "imported:"), done.stdout + done.stderr


def test_scoring_works_without_tensorflow(tmp_path):
    """As in the base install, which has none."""
    done = run(
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tf2onnx'): sys.modules[name] = None\n"
        "from hepvae.cli import main\n"
        "import hepvae\n"
        "files = [str(hepvae.sample_path(n)) for n in ('qcdSig', 'GtoWW15na')]\n"
        f"assert main(['score', *files, '--model', 'conv', '--output', {str(tmp_path / 's.root')!r}]) == 0\n"
        f"assert main(['plot', {str(tmp_path / 's.root')!r}, '--output', {str(tmp_path / 's.png')!r}]) == 0\n"
    )
    assert done.returncode == 0, done.stderr
    assert "4111 events scored" in done.stdout


def test_training_and_export_without_tensorflow_say_what_to_install(tmp_path):
    done = run(
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tf2onnx'): sys.modules[name] = None\n"
        "from hepvae.cli import main\n"
        "import hepvae\n"
        "sample = str(hepvae.sample_path('qcdSide'))\n"
        f"assert main(['train', sample, '--model', 'conv', '--output', {str(tmp_path)!r}]) == 1\n"
        f"assert main(['export', {str(tmp_path)!r}]) == 1\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pip install 'hepvae[tensorflow]'") == 2
    assert "Traceback" not in done.stderr
