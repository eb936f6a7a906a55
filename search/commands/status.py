"""``status [STUDY [TRIAL]]``: all studies, one study, or one trial with the end of its log."""

from __future__ import annotations

import argparse
import json
from typing import Any

from search.commands import options as typed
from search.database.engine import open_readonly
from search.settings import WORK
from search.show import status, status_lines
from search.show.printable import printable
from search.show.trial_log import log_end
from search.show.typed import as_called
from search.studies.study import existing


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    engine = open_readonly(typed.storage(parsed))
    if parsed.trial is not None:
        found: Any = status.trial(engine, parsed.study, parsed.trial)
        study = existing(engine, parsed.study)
        found["log"] = log_end(engine, study, found["number"], workroot=WORK, files_place=typed.files(parsed))
        shown = status_lines.trial(found)
    elif parsed.study is not None:
        found = status.study(engine, parsed.study)
        shown = status_lines.study(found)
    else:
        found = status.studies(engine)
        shown = status_lines.studies(found)
    spoken = as_called(parsed).spoken
    print(json.dumps(found, indent=2) if parsed.json else "\n".join(printable(spoken(line)) for line in shown))
    return 0
