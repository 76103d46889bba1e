"""How a command runs: options of click, a configuration file, one-line errors and the exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..errors import HepvaeError, OptionError
from ..options import check_choice, nearest
from ..output.files import faults_of
from ..output.text import terminal_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from .option_types import PATH, long_name
from .session import Session, logger, logging_options

__all__ = ["Command", "Group", "built", "option", "run", "say"]

Function = TypeVar("Function", bound=Callable[..., Any])


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
        session = Session(stack)
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


def _status(command: click.Command, arguments: Sequence[str] | None, name: str, session: Session) -> int:
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
            *logging_options(),
        ]  # fmt: skip

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.find_object(Session)
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
        self.params += logging_options()

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


def say(text: str, *, keep: str = "", err: bool = False) -> None:
    """Print for the user, as `terminal_text`."""
    click.echo(terminal_text(text, keep), err=err)


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Options of a TOML file, as if they were typed before those of the command line."""
    if path is None:
        return
    try:
        with faults_of(path, "read"):
            values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptionError(f"{path}: not TOML: {error}") from error
    known = {long_name(p).lstrip("-"): p for p in ctx.command.params if isinstance(p, click.Option)}
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
