"""How a command ends: one line on standard error, and an exit status."""

from __future__ import annotations

import sys

from ..errors import HepvaeError, OptionError

__all__ = ["run_command"]


def run_command(run, options) -> int:
    """Run a command; an error that the user can mend becomes one line and exit status 1 (2: bad usage)."""
    try:
        return run(options)
    except HepvaeError as error:
        print(f"hepvae: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError) else 1
    except KeyboardInterrupt:
        print("hepvae: interrupted", file=sys.stderr)
        return 130
