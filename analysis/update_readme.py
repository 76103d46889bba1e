#!/usr/bin/env python3
"""Put the summary table of a runtime study into README.md, with the machine it was measured on.

make bench && python analysis/update_readme.py bench-output README.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

BEGIN, END = "<!-- table of make bench -->\n", "<!-- end of table -->"


#: Models of the talk.
MODELS = ("conv", "graph")
#: What two other columns tell.
LEFT_OUT = "litert / onnxruntime"


def shortened(table: str) -> str:
    """The rows and columns of a table that the front page has; all are in the report."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    kept = [place for place, name in enumerate(rows[0]) if name != LEFT_OUT]
    shown = [row for number, row in enumerate(rows) if number < 2 or row[0] in MODELS]
    return "\n".join(f"| {' | '.join(row[place] for place in kept)} |" for row in shown)


def main(folder, readme):
    report = (Path(folder) / "report.md").read_text()
    machine = report.split("\n")[2]
    (table,) = re.findall(r"^## Summary\n\n.*?\n\n(\|.*?)\n\n", report, re.DOTALL | re.MULTILINE)
    table = shortened(table)
    text = Path(readme).read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    Path(readme).write_text(f"{before}{BEGIN}\n{machine}\n\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
