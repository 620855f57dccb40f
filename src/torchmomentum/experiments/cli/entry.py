"""Reads a command line and runs its command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from types import ModuleType

from torchmomentum import __version__
from torchmomentum.experiments import exits
from torchmomentum.experiments.cli import (
    bench,
    compare,
    listing,
    report,
    reproduce,
    sweep,
    train,
    watch,
)
from torchmomentum.experiments.cli.options import Parser
from torchmomentum.experiments.engine import stopping
from torchmomentum.experiments.engine.processes import is_first_process
from torchmomentum.experiments.errors import UsageError, check_name, first_line
from torchmomentum.experiments.registry import CELLS, RULES, TASKS, load_used, use

_COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "compare": compare,
    "sweep": sweep,
    "reproduce": reproduce,
    "bench": bench,
    "report": report,
    "watch": watch,
    "list": listing,
}


def _parser() -> Parser:
    parser = Parser(
        prog="torchmomentum",
        description="Trains recurrent nets with and without momentum, and says which is better.",
        epilog=f"Tasks: {', '.join(TASKS)}. Models: {', '.join(CELLS)}, and RULE-CELL with the "
        f"rules {', '.join(RULES)}. "
        f"Exit codes: {'; '.join(f'{code} {words}' for code, words in exits.MEANINGS.items())}.",
    )
    parser.add_argument("--version", action="version", version=f"torchmomentum {__version__}")
    parser.add_argument(
        "--use",
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file or module that registers tasks, models, rules, studies",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in _COMMANDS.values():
        command.add(commands)
    return parser


def _option_names(parser: argparse.ArgumentParser, command: str | None) -> list[str]:
    names = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and command:
            names += action.choices[command]._option_string_actions
    return names


def _run(arguments: Sequence[str]) -> None:
    if arguments and not arguments[0].startswith("-"):
        check_name("command", arguments[0], _COMMANDS)
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        option = unknown[0].partition("=")[0]
        check_name("option", option, _option_names(parser, options.command))
        raise UsageError(f"put {option} before the command")
    if options.command is None:
        parser.print_help()
        return
    load_used()
    use(*options.use)
    _COMMANDS[options.command].run(options)


def _end(code: int, *words: str) -> int:
    """Says in one line how it ended; returns the exit code."""
    if is_first_process():
        print(f"torchmomentum: {'; '.join(filter(None, words))}", file=sys.stderr)
    return code


def _fail(code: int, words: str, advice: str = "") -> int:
    return _end(code, f"error: {words}", advice)


def _memory_is_short(error: BaseException) -> bool:
    words = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("not enough memory" in words or "out of memory" in words)
    )


def _code_of(error: BaseException) -> int | None:
    """Says an error in one line and returns its exit code; None for one that is a mistake here."""
    if stopping.asked() or isinstance(error, stopping.Terminated):  # whatever broke then
        return _end(exits.TERMINATED, "ended by SIGTERM", "give --resume to go on")
    if isinstance(error, KeyboardInterrupt):
        told = str(error) or "interrupted; give --resume to go on"
        return _end(exits.INTERRUPTED, told)
    if isinstance(error, UsageError):
        return _fail(exits.WRONG_USE, str(error))
    if _memory_is_short(error):
        return _fail(exits.NO_RESOURCES, "not enough memory", "make the model smaller")
    if isinstance(error, BrokenExecutor):
        return _fail(exits.NO_RESOURCES, first_line(error), "give --resume to go on")
    if isinstance(error, OSError):
        code, advice = exits.of_error(error)
        return _fail(code, first_line(error), advice)
    return None


def _mute() -> None:
    """Has nothing more printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code, one of :data:`~.exits.MEANINGS`."""
    # torch's profiler, which measures memory, announces itself otherwise
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        stopping.listen()
        if not is_first_process():  # of those that train together, one speaks
            _mute()
        _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except SystemExit:  # of --help
        raise
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _mute()
    except BaseException as error:
        code = _code_of(error)
        if code is None:
            raise
        return code
    return 0
