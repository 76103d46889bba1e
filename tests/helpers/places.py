"""Where things are: the checkout, its scripts, real CMS files beside it; what each runtime needs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ANALYSIS", "CHECKOUT", "FOREIGN_MODELS", "NEEDS_PACKAGE", "REAL_DATA"]

CHECKOUT = Path(__file__).parents[2]
#: The scripts.
ANALYSIS = CHECKOUT / "analysis"
#: Real CMS simulation, beside a checkout of the developers; absent elsewhere.
REAL_DATA = CHECKOUT.parent / "shared" / "data"

#: Models that other tools wrote, likewise.
FOREIGN_MODELS = CHECKOUT.parent / "shared" / "models"

#: The package that each runtime needs.
NEEDS_PACKAGE = {
    "tensorflow": "tensorflow",
    "tensorflow-xla": "tensorflow",
    "onnxruntime": "onnxruntime",
    "litert": "ai_edge_litert",
    "openvino": "openvino",
}
