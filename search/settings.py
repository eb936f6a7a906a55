"""Every default of the service, each once: help texts, README and tests read or check what stands here.

What a search costs is an objective's to say: its sizes, rungs, sampler and pruner.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

STORAGE = "sqlite:///studies.db"
DATA = Path("data")
EXPORTS = Path("exports")
WORK = Path(".search")
"""Below the folder where a command is typed: what this machine's trials write."""
SIZE = "quick"
DIRECTION = "minimize"
"""Of a plain function, as in Optuna."""
PLAIN_TRIALS = 20
"""The budget of a plain function's study."""
HOST, PORT = "127.0.0.1", 8080
"""Of the dashboard."""
PREFIX = "search:"
"""Of every attribute of ours in Optuna's tables, where people have attributes of their own."""
LOG_LINES = 40
"""So many of a trial's log are shown."""


SPARED_ONE_IN = 20
"""One trial in so many is not pruned."""
KEPT_MODELS = 3
"""Of each study, the best; and beside them that of its first point."""
STARTUP_TRIALS = 10
"""TPE draws so many at random first, or a third of the budget where that is less."""
SAMPLER = "quadratic"
"""Of an objective that names none: better than TPE on learning curves, see ``benchmarks/search/replay.py``."""
REDUCTION = 3
"""At a rung, one trial in so many goes on."""
ERRORS_TRIED_AGAIN = 1
"""So many exceptions of a trial are tried once more, before it counts as failed."""
BEAT = 30.0
"""Seconds. A training that asks between batches says so often that it lives."""
LOOK = 600.0
"""Seconds for which a look at the test set that was begun is somebody's, who may be at it still."""
ORPHANED = 3600.0
"""Seconds after which files of no study are a deleted study's, and not those of one about to be created."""
MEMORY_OF_A_CHILD = 2 << 30
"""Bytes. So much is reckoned for a training process where nobody says how many there are to be."""
MOST_CHILDREN = 8
"""Trials that run at the same time cannot learn of each other: beyond this the cores go to fewer, faster ones."""
MAKING_TABLES = 60.0
"""Seconds that a command waits for another that makes the database's tables."""
LOGS_KEPT = 7 * 86400.0
"""Seconds. For so long the log of a question that failed is there to be read."""
CHECK_EPOCHS, CHECK_IMAGES = 3, 500
"""What ``check`` trains, and of a plain function so many steps again."""
IMAGES_PER_SECOND = 500.0
"""Of a size that does not say, on two CPU cores: for the first estimate of the time."""
FIRST_SEARCH = f"make search STUDY={'cnn_digits' if find_spec('keras') else 'mine OBJECTIVE=mine.py'}"
"""What somebody is told who has no study yet; without Keras, of a function of their own."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """With PostgreSQL, in seconds: so long it may take before it counts as away.

    A renewal's pause, a silence and a new connection together are shorter than a lease: one lost answer loses no trial.
    """

    connect: int = 8
    """A command without a database ends within ten seconds."""
    lock: float = 10.0
    statement: float = 20.0
    idle: float = 60.0
    """In a transaction that nobody goes on with: its locks are others' to wait for."""
    silence: float = 25.0
    """Nothing is heard or taken, whatever the network may say of the connection."""


TIMEOUTS = Timeouts()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker goes by. Times in seconds."""

    lease: float = 60.0
    """A worker that says nothing for so long loses its trials to others."""
    renew: float | None = None
    """How often leases are renewed; None: four times in a lease's length."""
    silence: float | None = None
    """Without a message for so long a child is killed; None: ``silence_at_most``, and never for a plain function, which
    may say nothing until its end. A training that asks ``stopping()`` after each batch is heard from all the time."""
    silence_at_most: float = 600.0
    silent_epochs: float = 10.0
    """A child may be silent for so many times its longest epoch, whatever ``silence`` says."""
    grace: float = 20.0
    """Told to stop, a worker ends the epoch if no more than this is left of it, else the batch."""
    graces: float = 2.0
    """After so many times ``grace`` a worker that was told to stop waits for nobody any more."""
    first_pause: float = 0.5
    longest_pause: float = 15.0
    """Between two tries to reach a database that is away: as long as it has been, within these."""
    look_again: float = 10.0
    """How often a worker that works on every open study looks for new ones."""
    linger: float = 3.0
    """So long it waits, when nothing is left, for a study that is about to be made: a refit is, behind its search."""
    poll: float = 1.0
    poll_at_most: float = 5.0
    """How often a worker without a trial looks for one: ever less often, within these, as long as there is none."""
    attempts: int = 3
    """So many claims without a new checkpoint, and the trial is ended as FAIL."""
    turned_down: int = 100
    """So many networks in a row that are larger than the study allows, and it stops."""
    failures: int = 3
    """So many trials of a worker that raise in a row before any report, and it leaves the study to the others."""
    retry: float = 30.0
    """A trial that raised or died is left to other workers for so long, where there are any."""
    trials_per_child: int = 20
    """A training process ends after so many trials: what it leaks goes with it."""
    upload_share: float = 0.02
    """Checkpoints go to where other machines find them as long as that costs less than this share of a trial's time."""
    log_bytes: int = 1 << 20
    """A trial's log on this machine; the end of a longer one is kept."""
    log_stored: int = 64 << 10
    """Bytes of its end that are stored when the trial ends."""

    @property
    def renew_every(self) -> float:
        """Seconds between two renewals of a lease."""
        return self.lease / 4 if self.renew is None else self.renew


DEFAULTS = Settings()
