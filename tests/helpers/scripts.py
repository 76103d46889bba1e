"""Scripts of analysis/, run in this process as their users run them: most of a process's time is imports."""

from __future__ import annotations

import io
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest import mock

from helpers.places import ANALYSIS

__all__ = ["run_script"]


def run_script(name: str, *arguments: object) -> CompletedProcess[str]:
    """Run ``analysis/NAME.py ARGUMENTS``; what it prints and its exit status, as of a process."""
    path, printed, errors = str(ANALYSIS / f"{name}.py"), io.StringIO(), io.StringIO()
    command = [path, *map(str, arguments)]
    status = 0
    with redirect_stdout(printed), redirect_stderr(errors), mock.patch.object(sys, "argv", command):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:  # of a text Python prints the text, and ends with 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return CompletedProcess(command, status, printed.getvalue(), errors.getvalue())
