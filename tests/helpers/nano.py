"""NanoEvents of coffea."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

__all__ = ["nano_events"]


def nano_events(path: str | Path, mode: str, **options: Any) -> Any:
    """Of a file; where that is lazy, only if dask-awkward is there."""
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    if mode == "dask":
        pytest.importorskip("dask_awkward")
    return NanoEventsFactory.from_root(
        {str(path): "Events"},
        schemaclass=NanoAODSchema,
        mode=mode,
        metadata={"dataset": Path(path).stem},
        **options,
    ).events()
