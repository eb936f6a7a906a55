"""A training process that dies, forks, or says what is no message: its trial's misfortune, and never the worker's."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.child import hardware
from search.child.ask import Asker
from search.child.pipe import LONGEST
from search.child.process import launch
from search.child.protocol import Done, Epoch, Unreadable, decode, encode
from search.child.seat import Seat
from search.contract import Devices, SearchError, Unusable
from search.rules.failures import cause_and_reason
from tests.commands import LIGHT
from tests.faults import Quiet, new_study
from tests.test_worker import THREE, rows, trials, work

SOURCE = Path(LIGHT).read_text()
FORKS = """
import os, time
def fork_and_die():
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    os.kill(os.getpid(), 9)
"""


def changed(path: Path, before: str, after: str, head: str = "") -> str:
    """The light objective in a file of its own, with this instead of that."""
    assert before in SOURCE
    path.write_text(SOURCE.replace("import json\n", f"import json\n{head}", 1).replace(before, after))
    return str(path)


@pytest.mark.parametrize("question", ["describe", "evaluate"])
def test_a_child_that_dies_leaves_nobody_waiting_for_what_it_has_forked(tmp_path: Path, question: str) -> None:
    """What it started in a session of its own still holds the pipe."""
    seat = Seat(Devices(), launch)
    asker = Asker(seat, tmp_path, tmp_path, Quiet())
    before = {
        "describe": "    return Hyperparameters(",
        "evaluate": '    state = json.loads((folder / "model.json")',
    }[question]
    file = changed(tmp_path / "mine.py", before, f"    fork_and_die()\n{before}", FORKS)
    began = time.monotonic()
    with pytest.raises(SearchError) as said:
        if question == "describe":
            asker.describe(file, size_name="quick")
        else:
            asker.evaluate(file, tmp_path, "validation", lambda _: None)
    assert time.monotonic() - began < 30, "as long as what it has forked lives"
    assert str(said.value).startswith(
        f"the process that loads the objective {file!r} was killed by signal 9. Its last "
    )
    assert seat.child is None


def test_a_child_that_writes_nonsense_is_one_line_to_who_asks(tmp_path: Path) -> None:
    file = changed(tmp_path / "mine.py", "import time\n", 'import sys, time\nos.write(int(sys.argv[1]), b"hello\\n")\n')
    with pytest.raises(SearchError, match=r"wrote b'hello' into its pipe, which is no message .* and was killed"):
        Asker(Seat(Devices(), launch), tmp_path, tmp_path, Quiet()).describe(file, size_name="quick")


class Silent(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("error", "cause", "line"),
    [
        (OSError(), "error", "OSError"),
        (OSError(5, "Input/output error"), "error", "OSError: [Errno 5] Input/output error"),
        (OSError(28, "No space left on device"), "user", "[Errno 28] No space left on device"),
        (ModuleNotFoundError("\n\n  No module named 'a'\nor so"), "error", "ModuleNotFoundError: No module named 'a'"),
        (ValueError("one\ntwo"), "error", "ValueError: one"),
        (RuntimeError(), "error", "RuntimeError"),
        (Silent(), "error", "Silent"),
        (SearchError("\nmend it\n"), "user", "mend it"),
        (Unusable("\nloss is NaN\n\n"), "unusable", "loss is NaN"),
        (Unusable(), "unusable", "Unusable"),
        (MemoryError("\nof 3 GB\nmore"), "unusable", "out of memory: of 3 GB"),
        (MemoryError(), "unusable", "out of memory"),
    ],
)
def test_every_exception_is_one_line(error: Exception, cause: str, line: str) -> None:
    assert cause_and_reason(error) == (cause, line)


def test_an_error_without_text_is_the_trials_and_kills_nobody(storage_url: str, tmp_path: Path) -> None:
    study = new_study(storage_url)
    file = changed(tmp_path / "mine.py", 'raise RuntimeError("the light objective was told to raise")', "raise OSError")
    said = worked(storage_url, study, tmp_path, file, mood="raises")
    assert [line.partition("trial 0: ")[2] for line in said] == [
        "raised: OSError; it is tried once more",
        "fail: OSError",
    ]


def worked(url: str, study: Any, folder: Path, file: str, mood: str = "") -> list[str]:
    """The study with its objective from this file."""
    os.environ["LIGHT_MOOD"] = mood
    try:
        return work(url, replace(study, objective=file), folder, settings=THREE).said
    finally:
        del os.environ["LIGHT_MOOD"]


NONSENSE = [
    b"\xff\xfe\x00 binary",
    b"no JSON",
    b"[1, 2]",
    b'"text"',
    b'{"type": "Nosuch"}',
    b'{"type": "Unreadable", "why": "x"}',
    b'{"type": ["Done"]}',
    b"{}",
    b'{"type": "Done"}',
    b'{"type": "Done", "value": "high"}',
    b'{"type": "Done", "value": true}',
    b'{"type": "Done", "value": 1, "more": 2}',
    b'{"type": "Epoch", "step": 1, "values": {"score": "x"}, "checkpoint": null}',
    b'{"type": "Epoch", "step": 1.5, "values": {}, "checkpoint": null}',
    b'{"type": "Epoch", "step": 0, "values": {}, "checkpoint": null}',
    b'{"type": "Epoch", "step": 1, "values": {}, "checkpoint": 3}',
    b'{"type": "Report", "step": -1, "value": 1.0}',
    b'{"type": "Failed", "cause": "boredom", "why": ""}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", NONSENSE, ids=lambda line: repr(line[:40]))
def test_a_line_that_is_no_message_is_said_to_be_none(line: bytes) -> None:
    message = decode(line)
    assert isinstance(message, Unreadable) and "which is no message" in message.why and len(message.why) < 400


def test_what_is_encoded_is_read() -> None:
    for message in (Done(1.5), Epoch(3, {"score": float("inf")}, None), Done(2)):
        assert decode(encode(message)) == message


@pytest.mark.parametrize(
    ("nonsense", "reason"),
    [
        (r'b"\xff\n"', r"wrote b'\xff' into its pipe, which is no message (UnicodeDecodeError"),
        (
            """b'{"type": "Done", "value": "high"}\\n'""",
            "which is no message (TypeError: value is 'high') and was killed",
        ),
        (
            """b'{"type": "Metrics", "metrics": {}}\\n'""",
            "wrote a Metrics into its pipe, which is not for a trial to say",
        ),
        (f'b"x" * {LONGEST + (1 << 20)}', f"wrote a line of more than {LONGEST} bytes into its pipe and was killed"),
    ],
    ids=["binary", "wrong field", "another's message", "long"],
)
def test_nonsense_on_the_pipe_ends_the_trials_child_and_not_the_worker(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nonsense: str, reason: str
) -> None:
    """A death: an attempt, and the trial goes on from its checkpoint. What was said before counts."""
    study, marker = new_study(sqlite_url, budget=2, epochs=3), tmp_path / "once"
    before = '        if os.environ.get("LIGHT_MOOD") == "sleeps":'
    garbles = f"""        if epoch == 2 and not Path({str(marker)!r}).exists():
            Path({str(marker)!r}).touch()
            context._line._pipe._socket.sendall({nonsense})
            time.sleep(3600)
"""
    said = worked(sqlite_url, study, tmp_path, changed(tmp_path / "mine.py", before, garbles + before))
    assert reason in said[0] and said[0].endswith("; it goes on from epoch 2") and len(said) == 3
    assert [(row["state"], row["resumed_from"]) for row in rows(sqlite_url, study)] == [
        ("complete", "[2]"),
        ("complete", "[]"),
    ]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("0", "ValueError: epoch 0 is reported; epochs count from 1"),
        ("-2", "ValueError: epoch -2 is reported; epochs count from 1"),
        ("1.5", "TypeError: epoch 1.5 is reported; it is no whole number"),
    ],
)
def test_an_epoch_that_is_none_is_refused_in_the_child(sqlite_url: str, tmp_path: Path, step: str, reason: str) -> None:
    study = new_study(sqlite_url)
    file = changed(tmp_path / "mine.py", "context.report(epoch,", f"context.report({step},")
    said = worked(sqlite_url, study, tmp_path, file)
    assert said[-1].endswith(f"trial 0: fail: {reason}")
    (trial,) = trials(sqlite_url, study)
    assert (trial.user_attrs["search:reason"], trial.intermediate_values) == (reason, {})


def control_groups(folder: Path, own: str, files: dict[str, str]) -> None:
    """As the kernel shows them: below ``cgroup``, and which of them is this process's in ``own``."""
    (folder / "own").write_text(own + "\n")
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/a/b", {}, float("inf")),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, float("inf")),
        ("0::/a/b", {"a/b/cpu.max": "250000 100000"}, 2.5),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000", "cpu.max": "400000 100000"}, 1.5),
        ("0::/hidden", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/", {"cpu.max": "300000 100000"}, 3.0),
        (
            "4:cpu,cpuacct:/job\n1:memory:/other",
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "200000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"},
            2.0,
        ),
        (
            "4:cpu:/job/x",
            {
                "cpu/job/x/cpu.cfs_quota_us": "-1",
                "cpu/job/x/cpu.cfs_period_us": "100000",
                "cpu/job/cpu.cfs_quota_us": "120000",
                "cpu/job/cpu.cfs_period_us": "50000",
            },
            2.4,
        ),
        ("nonsense", {"cpu.max": "nonsense"}, float("inf")),
    ],
)
def test_a_containers_quota_is_the_smallest_on_the_way_up(
    tmp_path: Path, own: str, files: dict[str, str], quota: float
) -> None:
    control_groups(tmp_path, own, files)
    assert hardware.cpu_quota(tmp_path / "cgroup", tmp_path / "own") == quota
    assert hardware.cpu_quota(tmp_path / "nowhere", tmp_path / "nothing") == float("inf")


@pytest.mark.parametrize(
    ("allowed", "quota", "count"), [(8, float("inf"), 8), (8, 2.5, 2), (8, 0.5, 1), (2, 3.0, 2), (1, 1.0, 1)]
)
def test_a_quota_limits_the_cores_that_are_counted(allowed: int, quota: float, count: int) -> None:
    assert hardware.within_quota(allowed, quota) == count
