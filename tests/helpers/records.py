"""Records of a runtime study, with times that a test chooses."""

from __future__ import annotations

import numpy as np

__all__ = ["TIMES", "records"]


def records(times, *, runs=2, rounds=8, **other):
    """Records of cells with given times per batch, {(model, runtime, batch): seconds}, and a little noise."""
    rng = np.random.default_rng(5)
    found = []
    for (model, runtime, size), seconds in times.items():
        for run in range(1, runs + 1):
            blocks = seconds * np.exp(rng.normal(0, 0.01, rounds))
            found.append(
                {
                    **{"model": model, "training": "", "runtime": runtime, "source": "local", "rtt_ms": 0.0},
                    **{"pipeline": "numpy", "batch_size": size, "run": run, "blocks_s": list(blocks)},
                    "latency_s": {"median": seconds, "p90": 1.1 * seconds, "p99": 1.5 * seconds},
                    **{"jets_per_s": size / seconds, "n_jets": 100 * size, "timed_calls": 100, "calls": 120},
                    **{"load_s": 1.0, "first_call_s": 0.1, "arena": None, "threads": 2, "rss_model_bytes": 5e8},
                    **{"rss_peak_bytes": 7e8, "rss_steady_bytes": 7e8, "rss_inference_bytes": 2e7},
                    **{"rss_growth_bytes": 1e6, "rss_growth_per_1000_batches_bytes": None},
                    **other,
                }
            )
    return found


TIMES = {
    ("conv", "tensorflow", 1): 1.3e-3,
    ("conv", "onnxruntime", 1): 2.6e-4,
    ("conv", "tensorflow", 64): 6e-3,
    ("conv", "onnxruntime", 64): 4e-3,
    ("conv", "tensorflow", 512): 3.0e-2,
    ("conv", "onnxruntime", 512): 3.0e-2,
    ("graph", "tensorflow", 1): 2e-3,
    ("graph", "onnxruntime", 1): 1e-3,
    ("graph", "tensorflow", 512): 0.08,
    ("graph", "onnxruntime", 512): 0.1,
}
