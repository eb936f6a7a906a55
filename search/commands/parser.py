"""What can be typed: commands, flags, and what their values must be."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from search.errors import SearchError
from search.rules.spec import spec_from_text
from search.settings import (
    DATA,
    DEFAULTS,
    DIRECTION,
    EXPORTS,
    HOST,
    MEMORY_OF_A_CHILD,
    MOST_CHILDREN,
    PORT,
    SIZE,
    STORAGE,
)
from search.show.typed import as_called

NO_LIMIT = "none"
"""What lifts a limit of the study."""
_CHILDREN = (
    "training processes (or SEARCH_CHILDREN); default one a GPU, else one a core, no more than "
    f"{MOST_CHILDREN} and one for each {MEMORY_OF_A_CHILD >> 30} GiB of memory"
)
_CHANGED = "your own objective's file was edited on purpose: go on with it as it is here"


def count(text: str, least: int = 1) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least {least}, {text!r} was given")
    return value


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"needs a number such as 8 or .9, {text!r} was given")
    return value


def _positive(text: str) -> float:
    """``8``, ``0.5`` or ``2e6``."""
    value = _finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"needs a number above 0, {text!r} was given")
    return value


def _limit(kind: Callable[[str], float]) -> Callable[[str], float | str]:
    """What ``kind`` takes, or ``none``."""
    return lambda text: NO_LIMIT if text == NO_LIMIT else kind(text)


def _trials(text: str) -> int:
    return count(text, least=0)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"needs names such as NOTEBOOK or MODERN,NOTEBOOK, {text!r} was given")
    return names


def _spec(text: str) -> dict[str, Any]:
    try:
        return spec_from_text(text)
    except SearchError as error:
        raise argparse.ArgumentTypeError(f"is no such class: {error}") from None


def _seconds(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``2h`` or ``1d``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    value = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"needs a time such as 90s, 30m or 2h, {text!r} was given")
    return value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        from search.database.url import without_secrets  # noqa: PLC0415 - SQLAlchemy takes longer than --help

        # Most who type a flag type a variable of the Makefile.
        flag = re.match(r"argument --([a-z-]+): ", message)
        by_make = as_called().program is None
        if flag and by_make and flag[1] not in {"lease", "silence"}:  # which no variable sets
            variable = flag[1].replace("-", "_").upper()
            message = f"{variable} (--{flag[1]}) {message[flag.end() :]}"
        see = f"make, or {self.prog} --help" if by_make else f"{self.prog} --help"
        end = "" if message.endswith("?") else "."
        self.exit(1, f"search: {without_secrets(message)}{end} See: {see}\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """As the parser's; what a command does not know ends with the nearest flag that it does."""
    parsed, unknown = parser().parse_known_args(arguments)
    if unknown:
        own: argparse.ArgumentParser = parsed.parser
        flag = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(flag, re.findall(r"--[a-z-]+", own.format_help()), 1)
        own.error(f"unknown: {' '.join(unknown)}{f'. Did you mean {near[0]}?' if near else ''}")
    return parsed


def parser() -> argparse.ArgumentParser:
    """The whole command line; the command's name is in ``parsed.command``, its own parser in ``parsed.parser``."""
    program = as_called().program or "python -m search"
    whole = _Parser(prog=program, description="Hyperparameter search on Optuna that survives kill -9.")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, text: str, *examples: str) -> argparse.ArgumentParser:
        shown = "\n".join(["examples:", *(f"  {program} {name} {one}".rstrip() for one in examples)])
        raw = argparse.RawDescriptionHelpFormatter
        sub = commands.add_parser(name, help=text, description=text, epilog=shown, formatter_class=raw)
        sub.set_defaults(command=name, parser=sub)
        sub.add_argument(
            "--storage", metavar="URL", help=f"sqlite:///FILE or postgresql://… (or SEARCH_STORAGE); default {STORAGE}"
        )
        sub.add_argument("--files", metavar="PLACE", help="folder for checkpoints and models, or 'database'")
        return sub

    for one in (_run, _worker, _status, _delete, _refit, _export, _check, _dashboard):
        one(add)
    return whole


Add = Callable[..., argparse.ArgumentParser]
"""(name, what it does, examples) -> the command's own parser."""


def _run(add: Add) -> None:
    run = add(
        "run",
        "create a study or go on with it, train the winner again, export it",
        "resnet_cifar10",
        "mine.py --trials 50 --direction maximize",
        "night --objective resnet_cifar10 --size hour --hours 16",
        "mine.py --sampler 'TPESampler(multivariate=True)' --pruner HyperbandPruner",
    )
    run.add_argument("study", metavar="STUDY", help="its name; or a .py file, whose name without .py it gets")
    run.add_argument("--objective", metavar="OBJECTIVE", help="a name in objectives/ or a .py file")
    _searching(run)
    run.add_argument(
        "--first",
        type=_names,
        metavar="NAMES",
        help="points of the objective, or studies whose winners, to try first: A or A,B",
    )
    run.add_argument(
        "--sampler",
        type=_spec,
        metavar="CLASS",
        help="Optuna's, TPESampler(multivariate=True), or yours, mine.MySampler",
    )
    run.add_argument("--pruner", type=_spec, metavar="CLASS", help="likewise, or asha: HyperbandPruner")
    run.add_argument("--source", metavar="STUDY", help="where transfer begins; none: from scratch")
    run.add_argument(
        "--trials", type=_trials, metavar="N", help="the budget of the whole study; 0: train the first point unsearched"
    )
    run.add_argument("--timeout", type=_seconds, metavar="TIME", help="for search and refit; then hand over and export")
    _limits(run)
    run.add_argument("--changed", action="store_true", help=_CHANGED)
    run.add_argument("--no-refit", action="store_true", help="leave refit and export to you")


def _worker(add: Add) -> None:
    work = add(
        "worker", "join open studies from this machine", "", "resnet_cifar10 --children 2", "--wait --timeout 8h"
    )
    work.add_argument("studies", metavar="STUDY", nargs="*")
    work.add_argument("--wait", action="store_true", help="where there is nothing to do, until there is")
    work.add_argument("--trust", action="store_true", help="run .py files that the database names, of studies unnamed")
    _machine(work)
    work.add_argument("--changed", action="store_true", help=_CHANGED)
    work.add_argument("--timeout", type=_seconds, metavar="TIME", help="then hand over")


def _status(add: Add) -> None:
    what = "all studies, one study, or one trial with the end of its log"
    status = add("status", what, "", "mine", "mine 3", "mine --json")
    status.add_argument("study", metavar="STUDY", nargs="?")
    status.add_argument("trial", metavar="TRIAL", nargs="?", type=int)
    status.add_argument("--json", action="store_true")


def _delete(add: Add) -> None:
    delete = add("delete", "a study and its refit, with their trials and files; what was exported stays", "mine")
    delete.add_argument("study", metavar="STUDY")


def _refit(add: Add) -> None:
    refit = add("refit", "train the best trial's hyperparameters again, on all data", "resnet_cifar10")
    refit.add_argument("study", metavar="STUDY")
    refit.add_argument("--timeout", type=_seconds, metavar="TIME", help="then hand over")
    _machine(refit)


def _export(add: Add) -> None:
    export = add("export", "the best model and its report, also during a search", "mine", "mine --to best --test")
    export.add_argument("study", metavar="STUDY")
    export.add_argument("--to", metavar="DIR", help=f"default: {EXPORTS}/STUDY")
    export.add_argument("--test", action="store_true", help="score the test set, which is counted")
    export.add_argument("--no-model", action="store_true", help="only what the database knows")
    _data(export)


def _check(add: Add) -> None:
    what = "one minute before a night: does this objective train, report, go on after a kill, evaluate and export"
    check = add("check", what, "resnet_cifar10", "mine.py")
    check.add_argument("objective", metavar="OBJECTIVE")
    _searching(check)


def _dashboard(add: Add) -> None:
    dashboard = add("dashboard", "optuna-dashboard for this storage, read-only", "", "--port 8081")
    dashboard.add_argument("--host", default=HOST)
    dashboard.add_argument("--port", type=count, default=PORT)


def _searching(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", help=f"quick, hour or full; default {SIZE}")
    parser.add_argument("--epochs", type=count, metavar="N", help="of a whole trial and of the refit")
    parser.add_argument(
        "--train-size",
        type=count,
        metavar="N",
        help="training examples of a trial; the refit has them and those for validation",
    )
    parser.add_argument(
        "--direction", choices=("maximize", "minimize"), help=f"for a plain function; default {DIRECTION}"
    )
    _machine(parser)


def _limits(parser: argparse.ArgumentParser) -> None:
    """Of the study; each stays until it is changed, by ``none`` if by nothing else."""
    add = parser.add_argument
    add(
        "--hours", type=_limit(_positive), metavar="N", help="of training, all machines together; then refit and export"
    )
    add(
        "--until",
        type=_limit(_finite),
        metavar="VALUE",
        help="no more trials once one is complete with it, or with a better",
    )
    add("--trial-timeout", type=_limit(_seconds), metavar="TIME", help="a trial that takes longer is pruned")
    add(
        "--max-params",
        type=_limit(_positive),
        metavar="N",
        help="networks with more parameters are turned down untrained",
    )
    add(
        "--max-flops",
        type=_limit(_positive),
        metavar="N",
        help="likewise, floating-point operations of one example forward",
    )


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--children",
        type=count,
        metavar="N",
        help=_CHILDREN,
    )
    parser.add_argument(
        "--lease", type=_seconds, metavar="TIME", help=f"how long a silent worker keeps a trial; {DEFAULTS.lease:.0f}s"
    )
    parser.add_argument("--silence", type=_seconds, metavar="TIME", help="a training without a word so long is killed")
    _data(parser)


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help=f"where the data sets lie, or are downloaded to (or SEARCH_DATA_DIR); default {DATA}/",
    )
