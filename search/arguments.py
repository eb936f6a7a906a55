"""What can be typed: commands, flags and what their values must be."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[[argparse.Namespace], int]


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, {text!r} was given")
    return value


def _seconds(text: str) -> float:
    from search.run import seconds  # noqa: PLC0415

    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs a time such as 90s, 30m or 2h, {text!r} was given") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        from search.storage import without_secrets  # noqa: PLC0415 - SQLAlchemy takes longer than --help

        self.exit(1, f"search: {without_secrets(message)}. See: {self.prog} --help\n")


def parser(commands_by_name: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The whole command line; each command's function is in ``parsed.command``."""
    whole = _Parser(prog="python -m search", description="Hyperparameter search on Optuna that survives kill -9.")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=commands_by_name[name])
        sub.add_argument("--storage", metavar="URL", help="sqlite:///FILE or postgresql://… (or SEARCH_STORAGE)")
        sub.add_argument("--files", metavar="PLACE", help="folder for checkpoints and models, or 'database'")
        return sub

    run = add("run", "create a study or go on with it, train the winner again, export it")
    run.add_argument("study", metavar="STUDY")
    _searching(run)
    run.add_argument("--trials", type=_count, metavar="N", help="the budget of the whole study")
    run.add_argument("--timeout", type=_seconds, metavar="TIME", help="then hand over and export the best so far")
    run.add_argument("--no-refit", action="store_true", help="leave refit and export to you")

    work = add("worker", "join open studies from this machine")
    work.add_argument("studies", metavar="STUDY", nargs="*")
    _machine(work)
    work.add_argument("--timeout", type=_seconds, metavar="TIME", help="then hand over")

    status = add("status", "all studies, one study, or one trial with the end of its log")
    status.add_argument("study", metavar="STUDY", nargs="?")
    status.add_argument("trial", metavar="TRIAL", nargs="?", type=int)
    status.add_argument("--json", action="store_true")

    refit = add("refit", "train the best trial's hyperparameters on every training image")
    refit.add_argument("study", metavar="STUDY")
    refit.add_argument("--timeout", type=_seconds, metavar="TIME", help="then hand over")
    _machine(refit)

    export = add("export", "the best model and its report, also during a search")
    export.add_argument("study", metavar="STUDY")
    export.add_argument("--to", metavar="DIR", help="default: exports/STUDY")
    export.add_argument("--test", action="store_true", help="score the test set, which is counted")
    export.add_argument("--no-model", action="store_true", help="only what the database knows")
    _data(export)

    check = add("check", "one minute before a night: does this objective train, report, evaluate and export")
    check.add_argument("objective", metavar="OBJECTIVE")
    _searching(check, objective=False)

    dashboard = add("dashboard", "optuna-dashboard for this storage, read-only")
    dashboard.add_argument("--host", default="127.0.0.1")
    dashboard.add_argument("--port", type=_count, default=8080)
    return whole


def _searching(parser: argparse.ArgumentParser, *, objective: bool = True) -> None:
    if objective:
        parser.add_argument("--objective", metavar="OBJECTIVE", help="a name in objectives/ or a .py file")
    parser.add_argument("--size", help="quick or full; default quick")
    parser.add_argument("--epochs", type=_count, metavar="N", help="of a whole trial and of the refit")
    parser.add_argument("--train-size", type=_count, metavar="N", help="training images of a trial")
    parser.add_argument("--source", metavar="STUDY", help="where transfer begins; none: from scratch")
    parser.add_argument("--direction", choices=("maximize", "minimize"), help="for a plain function; default minimize")
    _machine(parser)


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--children", type=_count, metavar="N", help="training processes; default one a GPU, else one")
    parser.add_argument("--lease", type=_seconds, metavar="TIME", help="how long a silent worker keeps a trial; 60s")
    parser.add_argument("--silence", type=_seconds, metavar="TIME", help="a training without a word so long is killed")
    _data(parser)


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="holds cifar-10-batches-bin/ and cifar-100-binary/")
