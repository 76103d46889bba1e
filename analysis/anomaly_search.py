#!/usr/bin/env python3
"""What is a score worth in a search? hepvae search, by default of the bundled samples.

python analysis/anomaly_search.py --output build/anomaly-search

Options are those of hepvae search. report.html in the output has it all, results.json the numbers. What is scored
is kept, and not scored again.
"""

from __future__ import annotations

import sys

from hepvae.cli import main as hepvae


def main(arguments=None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    return hepvae(["search", "--output", "build/anomaly-search", *arguments])


if __name__ == "__main__":
    sys.exit(main())
