"""What one run of a command line has: streams that cannot fail it, its log, its effective options."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import click

from ..errors import without_tokens
from ..output.files import faults_of
from ..output.text import terminal_text
from .option_types import PATH, long_name

__all__ = ["NOTICE", "Session", "effective_options", "logger", "logging_options"]

logger = logging.getLogger("hepvae")

#: Level of what a user waits for, such as an epoch that is done: shown unless --quiet, no warning.
NOTICE = logging.INFO + 5
logging.addLevelName(NOTICE, "NOTICE")


def effective_options() -> dict[str, Any]:
    """The options of the command that runs by their long names, as plain values.

    Those without a value are left out; of a call from Python there are none.
    """
    context = click.get_current_context(silent=True)
    session = context and context.find_object(Session)
    return dict(session.options) if session else {}


def _plain(value: Any) -> Any:
    if isinstance(value, list) or type(value) is tuple:
        return [_plain(one) for one in value]
    return value if isinstance(value, (bool, int, float)) else without_tokens(str(value))


def logging_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-v", "--verbose"], count=True, expose_value=False, callback=Session.set_verbose,
            help="say what happens; twice: in detail",
        ),
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=Session.set_quiet,
            help="errors only: no progress, no summary",
        ),
        click.Option(
            ["--log-file"], type=PATH, expose_value=False, callback=Session.set_log_file, metavar="FILE",
            help="append a log in detail to a file",
        ),
    ]  # fmt: skip


class _Stream:
    """Standard output or error that may go away while a command runs: its work goes on, and the loss is kept."""

    def __init__(self, stream: IO[str]):
        self._stream = stream
        self.error: int | None = None
        """Errno of the first write that failed."""
        self.quiet = False
        """Discard what is written."""
        self.plain = False
        """Show no bar, also on a terminal."""

    def write(self, text: str) -> int:
        if not self.quiet and self.error is None:
            self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            self._try(self._stream.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except OSError as error:
            self.error = error.errno or errno.EIO
            # What Python still holds of it must not fail once more when the process ends.
            with suppress(OSError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())

    def isatty(self) -> bool:
        return not self.plain and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _kept_streams() -> Iterator[list[_Stream]]:
    """Standard output and error that cannot fail while the block runs."""
    for number in (0, 1, 2):  # one that is closed would become that of the next file to be opened
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        streams = [_Stream(stream or nowhere) for stream in before]
        sys.stdout, sys.stderr = streams
        try:
            yield streams
        finally:
            sys.stdout, sys.stderr = before


@dataclass
class Session:
    """What one run of a command line has: its streams, its log, its options."""

    stack: ExitStack
    output: _Stream = field(init=False)
    errors: _Stream = field(init=False)
    shown: logging.Handler = field(init=False)
    """Of the log, on standard error."""
    options: dict[str, Any] = field(default_factory=dict)
    """Effective ones."""
    writes_file: bool = False
    """Whether the command has an output besides standard output."""

    def __post_init__(self) -> None:
        self.output, self.errors = self.stack.enter_context(_kept_streams())
        self.shown = _Shown()
        self.shown.setFormatter(_OneLine("hepvae: %(message)s"))
        self._add(self.shown, NOTICE)
        # TensorFlow and tf2onnx give the root logger handlers of their own: what is shown is ours.
        self.stack.callback(setattr, logger, "propagate", logger.propagate)
        logger.propagate = False

    def _add(self, handler: logging.Handler, level: int) -> None:
        handler.setLevel(level)
        before = logger.level
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)

        def remove() -> None:
            logger.removeHandler(handler)
            logger.setLevel(before)
            handler.close()

        self.stack.callback(remove)

    def begin(self, ctx: click.Context) -> None:
        """A command starts."""
        names = {p.name: long_name(p).lstrip("-") for p in ctx.command.params if isinstance(p, click.Option)}
        given = {names[key]: value for key, value in ctx.params.items() if key in names and value is not None}
        self.options = {name: _plain(value) for name, value in given.items()}
        self.writes_file = "output" in names.values()
        self.output.quiet = self.writes_file and self.shown.level > logging.WARNING
        logger.info("%s with %s", ctx.command_path, self.options)

    @staticmethod
    def set_verbose(ctx: click.Context, param: click.Parameter, count: int) -> None:
        if count:
            ctx.obj.shown.setLevel(logging.INFO if count == 1 else logging.DEBUG)

    @staticmethod
    def set_quiet(ctx: click.Context, param: click.Parameter, quiet: bool) -> None:
        if quiet:
            ctx.obj.shown.setLevel(logging.ERROR)
            ctx.obj.errors.plain = True

    @staticmethod
    def set_log_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
        if path is None:
            return
        with faults_of(path, "written"):
            handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        ctx.obj._add(handler, logging.DEBUG)


class _Shown(logging.StreamHandler[Any]):
    """Writes to what standard error is at the time: above a bar, where there is one."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        """Whatever is given."""


class _OneLine(logging.Formatter):
    """A record on one line, and a traceback below where it has one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return terminal_text(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return terminal_text(super().formatException(ei), keep="\n")
