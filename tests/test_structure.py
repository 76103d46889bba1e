"""Imports run one way: what stands lower in this list may import what stands higher, never back."""

from __future__ import annotations

import ast
from pathlib import Path

import hepvae

PACKAGE = Path(hepvae.__file__).parent

ORDER = [
    "errors",
    "faults",
    "extras",
    "threads",
    "progress",
    "ahead",
    "outputs",
    "journal",
    "delay_proxy",
    "xrootd_server",
    "spec",
    "losses",
    "card",
    "kinematics",
    "schemas",
    "selection",
    "remote",
    "sources",
    "tables",
    "assembly",
    "nanoevents",
    "lazy",
    "compiled",
    "padding_kernels",
    "padding",
    "quality",
    "health",
    "reports",
    "dijets",
    "inspection",
    "batches",
    "chamfer_kernel",
    "models",
    "scores",
    "reconstruction",
    "inferers",
    "bundled",
    "parity",
    "rewrites",
    "export",
    "tune",
    "training",
    "scored_chunks",
    "dask_scoring",
    "scored_formats",
    "scored_file",
    "scoring",
    "rescoring",
    "search",
    "histograms",
    "coffea",
    "plotting",
    "command",
    "html_page",
    "bench",
    "search_report",
    "cli",
    "__main__",
]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path):
    """The modules of hepvae that a file imports at its top; imports inside functions happen on use."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]
            yield from (name for name in names if name in ORDER)


def test_every_module_has_a_place():
    modules = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert modules == set(ORDER)


def test_imports_run_downward():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        if room(path) != "__init__"
        for name in imported_rooms(path)
        if ORDER.index(name) > ORDER.index(room(path))
    ]
    assert wrong == []
