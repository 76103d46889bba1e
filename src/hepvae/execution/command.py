"""How a command runs: options of click, a configuration file, the log, one-line errors and the exit status."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..errors import FileError, HepvaeError, OptionError, without_tokens
from ..options import check_choice, check_number, check_whole_number, nearest
from ..output.text import terminal_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["PATH", "Choice", "Command", "Group", "Number", "Whole", "built", "effective_options", "option", "run"]

logger = logging.getLogger("hepvae")
#: Level of what a user waits for, such as an epoch that is done: shown unless --quiet, no warning.
NOTICE = logging.INFO + 5
logging.addLevelName(NOTICE, "NOTICE")

Function = TypeVar("Function", bound=Callable[..., Any])
if TYPE_CHECKING:
    ParamType = click.ParamType[Any]  # generic for type checkers only, in older releases
else:
    ParamType = click.ParamType

#: Type of an option that is a path.
PATH = click.Path(path_type=Path)


def run(command: click.Command, arguments: Sequence[str] | None = None, name: str = "hepvae") -> int:
    """Run a command line and give its exit status.

    0: done; 1: the work failed, or part of it was lost; 2: bad usage; 130: interrupted. What a user can mend is
    one line on standard error.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of this process, unless given.
    name : str
        What the user types to start the command.
    """
    with ExitStack() as stack:
        session = _Session(stack)
        status = _status(command, arguments, name, session)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        lost = session.output.error
        if lost not in (None, errno.EPIPE):
            logger.error("standard output cannot be written: %s", os.strerror(lost or 0))
            # What is in a file is there; of a command without one the result is lost.
            status = status or int(not session.writes_file)
        logger.info("exit status %d", status)
    return status


def _status(command: click.Command, arguments: Sequence[str] | None, name: str, session: _Session) -> int:
    try:
        try:
            arguments = sys.argv[1:] if arguments is None else arguments
            return int(command.main(arguments, name, standalone_mode=False, obj=session) or 0)
        except click.UsageError as error:
            where = "" if error.ctx is None else f" (see {error.ctx.command_path} --help)"
            raise OptionError(_sentence(error.format_message()) + where) from error
    except HepvaeError as error:
        logger.debug("traceback", exc_info=True)
        logger.error("%s", error)
        return 2 if isinstance(error, OptionError) else 1
    except click.ClickException as error:
        logger.error("%s", error.format_message())
        return 1
    except (click.Abort, KeyboardInterrupt):
        logger.error("interrupted")
        return 130


def _sentence(message: str) -> str:
    """A message of click as the others: without a capital at the begin and a point at the end."""
    return (message[:1].lower() + message[1:]).rstrip(".")


class Command(click.Command):
    """A command with ``--config``, ``--verbose``, ``--quiet`` and ``--log-file``."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        self.params += [
            click.Option(
                ["--config"], type=PATH, is_eager=True, expose_value=False, callback=_read_config, metavar="TOML",
                help="file of options by their long names; the command line wins",
            ),
            *_logging_options(),
        ]  # fmt: skip

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.find_object(_Session)
        if session is not None:
            session.begin(ctx)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would end the line of ^C
            raise click.Abort from error


class Group(click.Group):
    """Commands that are imported when they run.

    Parameters
    ----------
    lazy : dict of str to (str, str)
        For each command ``module:attribute``, and its line of help.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **settings: Any):
        super().__init__(*args, **settings)
        self.lazy = lazy
        self.params += _logging_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.lazy:
            return None
        module, _, attribute = self.lazy[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-"):
            check_choice("command", args[0], self.lazy)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=text) for name, (_, text) in self.lazy.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """As `click.option`, with its default in its help."""
    default = settings.get("default")
    shown = default is not None and not isinstance(default, bool) and not settings.get("multiple")
    return click.option(*names, **{"show_default": shown, **settings})


def built(name: str, build: Callable[..., Any], *options: Callable[[Any], Any]) -> Callable[[Function], Any]:
    """Add options to a command, whose function gets what is built from them as one argument.

    Parameters
    ----------
    name : str
        Of the argument.
    build : callable
        Takes the options by name: a frozen dataclass, which checks them. What has no option keeps its default.
    *options : of `option`
    """
    taken = list(signature(build).parameters)

    def decorate(function: Function) -> Any:
        def command(**given: Any) -> Any:
            return function(**{name: build(**{key: given.pop(key) for key in taken if key in given})}, **given)

        command.__dict__.update(function.__dict__)
        command.__doc__ = function.__doc__
        command.__name__ = function.__name__
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


class Number(ParamType):
    """A finite or infinite number in a range; see `check_number`."""

    name = "number"

    def __init__(self, lowest: float = -float("inf"), highest: float = float("inf"), unit: str = ""):
        self.lowest, self.highest, self.unit = lowest, highest, unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)
        return check_number(_named(param), value, lowest=self.lowest, highest=self.highest, unit=self.unit)


class Whole(ParamType):
    """A whole number in a range; see `check_whole_number`."""

    name = "integer"

    def __init__(self, lowest: int = 1, highest: int | None = None):
        self.lowest, self.highest = lowest, highest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str):
            with suppress(ValueError):
                value = int(value)
        return check_whole_number(_named(param), value, lowest=self.lowest, highest=self.highest)


class Choice(click.Choice[str]):
    """One of some names; an error has the most similar."""

    def __init__(self, choices: Iterable[str]):
        super().__init__(list(choices))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return check_choice(_named(param), value, [str(name) for name in self.choices])


def _named(param: click.Parameter | None) -> str:
    return _long_name(param) if isinstance(param, click.Option) else str(param and param.human_readable_name)


def _long_name(param: click.Parameter) -> str:
    return max(param.opts, key=len)


def effective_options() -> dict[str, Any]:
    """The options of the command that runs by their long names, as plain values.

    Those without a value are left out; of a call from Python there are none.
    """
    context = click.get_current_context(silent=True)
    session = context and context.find_object(_Session)
    return dict(session.options) if session else {}


def _plain(value: Any) -> Any:
    if isinstance(value, list) or type(value) is tuple:
        return [_plain(one) for one in value]
    return value if isinstance(value, (bool, int, float)) else without_tokens(str(value))


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Options of a TOML file, as if they were typed before those of the command line."""
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OptionError(f"{path}: not TOML: {error}") from error
    known = {_long_name(p).lstrip("-"): p for p in ctx.command.params if isinstance(p, click.Option)}
    known = {name: p for name, p in known.items() if p.expose_value and p.name}
    defaults = {}
    for key, value in values.items():
        if key not in known:
            raise OptionError(f"{path}: no option {key!r} of {ctx.info_name}{nearest(key, known)}")
        defaults[known[key].name] = _typed(f"{path}: {key}", value, known[key])
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _typed(where: str, value: Any, param: click.Option) -> Any:
    """A value of TOML as click takes it from a command line."""
    if param.is_flag:
        if not isinstance(value, bool):
            raise OptionError(f"{where} is {value!r}: expected true or false")
        return value
    several = param.multiple or param.nargs != 1
    values = value if several and isinstance(value, list) else [value]
    if not all(isinstance(one, (int, float, str)) and not isinstance(one, bool) for one in values):
        raise OptionError(f"{where} is {value!r}: expected {'a list' if several else 'one value'}")
    return [str(one) for one in values] if several else str(value)


def _logging_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-v", "--verbose"], count=True, expose_value=False, callback=_Session.set_verbose,
            help="say what happens; twice: in detail",
        ),
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_Session.set_quiet,
            help="errors only: no progress, no summary",
        ),
        click.Option(
            ["--log-file"], type=PATH, expose_value=False, callback=_Session.set_log_file, metavar="FILE",
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
class _Session:
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
        names = {p.name: _long_name(p).lstrip("-") for p in ctx.command.params if isinstance(p, click.Option)}
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
        try:
            handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise FileError(f"{path}: cannot be written: {error.strerror}") from error
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
