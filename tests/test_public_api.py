from __future__ import annotations

import subprocess
import sys

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
    done = run(f"import hepvae, sys; print(*({heavy} & set(sys.modules)))")
    assert (done.returncode, done.stdout.strip()) == (0, "")


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
