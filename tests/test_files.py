"""Store, then record; the best three models stay; what is damaged or gone is said to be, never used."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from search.contract import SearchError
from search.database.leases import Lease, LeaseLost
from search.database.tables import FILES, LEASES
from search.files.database import Store as DatabaseStore
from search.files.packing import CHUNK_BYTES, packed, unpack
from search.files.paths import is_key
from search.files.records import OF_THE_STUDY, Files
from search.files.stores import IN_DATABASE, store_at
from search.settings import KEPT_MODELS
from search.studies.forget import forget_deleted
from search.trial_run import FOLDER_SUFFIX
from tests.faults import storage_at

KEY = "5f3c7a52-6d0e-4d34-9f0e-3a6d2c1b9e77"
MODEL = b"weights"


@pytest.fixture
def files(storage_url: str, tmp_path: Path) -> Files:
    """In a folder on SQLite, in the database on PostgreSQL: each where it is by default."""
    storage = storage_at(storage_url)
    storage.leases.seconds = 60.0
    with storage.engine.begin() as connection:
        storage.leases.raise_budget(connection, KEY, 8)
    return Files(storage.engine, store_at(None, storage.engine), storage.leases)


def claimed(files: Files, holder: str = "one") -> Lease:
    lease = files._leases.claim(KEY, holder, "host", secrets.token_hex(8))
    assert lease is not None
    return lease


def a_model(folder: Path, content: bytes = MODEL) -> Path:
    (folder / "model" / "inner").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "inner" / "weights").write_bytes(content)
    return folder / "model"


def a_file(folder: Path, content: bytes) -> Path:
    path = folder / "state.npz"
    path.write_bytes(content)
    return path


def names(files: Files) -> set[str]:
    return set(files.store.names(f"{KEY}/"))


def expire(files: Files, lease: Lease) -> None:
    with files._engine.begin() as connection:
        connection.execute(sa.update(LEASES).where(LEASES.c.number == lease.number).values(expires=0.0))


def test_what_is_kept_comes_back(files: Files, tmp_path: Path) -> None:
    """Of every length around a piece of the database's; a folder with its folders."""
    lease = claimed(files)
    for step, length in enumerate((0, 1, CHUNK_BYTES, CHUNK_BYTES + 1), 1):
        content = os.urandom(length)
        files.keep(lease, "checkpoint", a_file(tmp_path, content), step=step, attempts=0)
        record = files.find(KEY, 0, "checkpoint")
        assert record is not None and (record.step, record.size) == (step, length)
        assert files.fetch(record, tmp_path / "back" / "state.npz").read_bytes() == content
        kept = [one.step for one in files.checkpoints(KEY, 0)]
        assert kept == [step, step - 1][: len(kept)] and len(kept) == min(step, 2), "the one before stays too"
        assert names(files) == {one.name for one in files.checkpoints(KEY, 0)}
    files.keep(lease, "model", a_model(tmp_path), value=0.5)
    model = files.find(KEY, 0, "model")
    assert model is not None
    assert (files.fetch(model, tmp_path / "there") / "inner" / "weights").read_bytes() == MODEL
    assert files._leases.rows(KEY)[0]["attempts"] == 0, "set in the record's own transaction"
    assert files.find(KEY, 1, "checkpoint") is None


def test_a_checkpoint_that_is_a_folder_comes_back_whole_and_again(files: Files, tmp_path: Path) -> None:
    """As a worker fetches it anew where the database was away just then; also an empty one."""
    lease, target = claimed(files), tmp_path / "back" / f"000001{FOLDER_SUFFIX}"
    for step, name in ((1, "filled"), (2, "empty")):
        folder = tmp_path / f"{name}{FOLDER_SUFFIX}"
        folder.mkdir()
        if name == "filled":
            (folder / "inner").mkdir()
            (folder / "inner" / "weights").write_bytes(MODEL)
        files.keep(lease, "checkpoint", folder, step=step, attempts=0)
        newest = files.checkpoints(KEY, lease.number)[0]
        for _ in range(2):
            assert files.fetch(newest, target) == target
            assert {path.name for path in target.rglob("*")} == ({"inner", "weights"} if name == "filled" else set())


def test_equal_folders_have_equal_checksums(tmp_path: Path) -> None:
    one, other = a_model(tmp_path / "one"), a_model(tmp_path / "other")
    os.utime(other / "inner" / "weights", (1, 1))
    with packed(one) as first, packed(other) as second:
        assert first.read() == second.read()


def test_stored_but_not_recorded_is_swept(files: Files, tmp_path: Path) -> None:
    """A worker that loses its lease, or dies, between the two leaves a file that no record names."""
    lease = claimed(files)
    files.keep(lease, "checkpoint", a_file(tmp_path, b"one"), step=1)
    kept = names(files)
    expire(files, lease)
    heir = claimed(files, "two")
    assert heir.number == lease.number
    with pytest.raises(LeaseLost):
        files.keep(lease, "checkpoint", a_file(tmp_path, b"two"), step=2)
    record = files.find(KEY, lease.number, "checkpoint")
    assert record is not None and (record.step, {record.name}) == (1, kept)
    files.store.write(f"{KEY}/0/checkpoint-{heir.token}-3.npz", io.BytesIO(b"on its way"), lambda: None)
    files.sweep(KEY)
    assert names(files) == kept | {f"{KEY}/0/checkpoint-{heir.token}-3.npz"}, "a live holder may yet record its file"
    files._leases.close(heir, "complete")
    files.sweep(KEY)
    assert names(files) == set(), "no checkpoint outlives its trial"
    assert files.find(KEY, lease.number, "checkpoint") is None


def test_a_studys_own_file_without_a_record_is_let_be(files: Files) -> None:
    """Who looks at the test set, or copies a source, was killed or is between storing and recording."""
    claimed(files)
    for name in (f"{KEY}/study/test-8e5e0d7816a6", f"{KEY}/study/source-8e5e0d7816a6.part", f"{KEY}/99/log-1-0.txt"):
        files.store.write(name, io.BytesIO(b"on its way"), lambda: None)
    before = names(files)
    files.sweep(KEY)
    assert names(files) == before


@pytest.mark.parametrize("maximize", [True, False])
def test_the_three_best_models_are_kept_and_the_first_points(files: Files, tmp_path: Path, maximize: bool) -> None:
    files._maximize = maximize
    sign = 1 if maximize else -1
    for value in (0.3, 0.9, 0.1, 0.5, 0.7):
        lease = claimed(files)
        if files.is_worth_keeping(KEY, lease.number, sign * value):
            files.keep(lease, "model", a_model(tmp_path), value=sign * value)
        files._leases.close(lease, "complete")
        files.sweep(KEY)
    models = files.of_kind(KEY, "model")
    assert sorted(sign * row.value for row in models) == [0.3, 0.5, 0.7, 0.9]
    assert names(files) == {row.name for row in models} and len(models) == KEPT_MODELS + 1
    assert not files.is_worth_keeping(KEY, 5, sign * 0.4)
    assert files.is_worth_keeping(KEY, 5, sign * 0.6)


def test_a_sweep_takes_nothing_that_is_recorded_meanwhile(files: Files, tmp_path: Path) -> None:
    """Another worker records its model and ends its trial between any two statements of the sweep."""

    def between(at: int) -> int:
        """How many statements the sweep has; the other worker acts before statement ``at``."""
        lease, seen, acting = claimed(files), 0, False
        name = f"{KEY}/{lease.number}/model-{lease.token}-0"
        files.store.write(name, io.BytesIO(MODEL), lambda: None)

        def watch(*_: Any) -> None:
            nonlocal seen, acting
            if acting:
                return
            if seen == at:
                acting = True
                files.keep(lease, "model", a_model(tmp_path), value=float(lease.number))
                files._leases.close(lease, "complete")
                acting = False
            seen += 1

        sa.event.listen(files._engine, "before_cursor_execute", watch)
        try:
            files.sweep(KEY)
        finally:
            sa.event.remove(files._engine, "before_cursor_execute", watch)
        record = files.find(KEY, lease.number, "model")
        if at < seen:
            assert record is not None and record.name in names(files), f"gone, recorded before statement {at}"
        return seen

    statements = between(99)
    assert statements >= 4
    for at in range(1, statements):
        between(at)


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_damaged_file_is_refused(files: Files, tmp_path: Path, harm: str) -> None:
    lease = claimed(files)
    files.keep(lease, "checkpoint", a_file(tmp_path, b"0123456789"), step=1)
    record = files.find(KEY, 0, "checkpoint")
    assert record is not None
    files.store.remove(record.name)
    if harm != "gone":
        files.store.write(record.name, io.BytesIO(b"01234" if harm == "cut" else b"0123456780"), lambda: None)
    target = tmp_path / "back" / "state.npz"
    with pytest.raises(SearchError, match=rf"the stored checkpoint {KEY}/0/.* is (damaged|gone).*Restore"):
        files.fetch(record, target)
    assert not target.exists()


def test_a_studys_own_files_survive_its_trials(files: Files, tmp_path: Path) -> None:
    lease = claimed(files)
    digest = files.keep_for_study(KEY, "source", packed(a_model(tmp_path)))
    assert files.keep_for_study(KEY, "source", packed(a_model(tmp_path))) == digest
    files._leases.close(lease, "complete")
    files.sweep(KEY)
    record = files.find(KEY, OF_THE_STUDY, "source")
    assert record is not None and record.sha256 == digest and names(files) == {record.name}
    assert (files.fetch(record, tmp_path / "there") / "inner" / "weights").read_bytes() == MODEL
    files.forget(KEY)
    assert (names(files), files.find(KEY, OF_THE_STUDY, "source")) == (set(), None)


def test_among_equals_the_model_of_the_best_trial_stays(files: Files, tmp_path: Path) -> None:
    """The lowest lease, which may end last; and what a trial kept before it was resumed is none that it must beat."""
    leases = [claimed(files) for _ in range(KEPT_MODELS + 1)]
    for lease in reversed(leases):
        assert files.is_worth_keeping(KEY, lease.number, 0.5), lease.number
        files.keep(lease, "model", a_model(tmp_path), value=0.5)
        files._leases.close(lease, "complete")
        files.sweep(KEY)
    assert sorted(row.number for row in files.of_kind(KEY, "model")) == [0, 1, 2]
    resumed = claimed(files)
    files.keep(resumed, "model", a_model(tmp_path), value=0.9)
    assert files.is_worth_keeping(KEY, resumed.number, 0.6) and not files.is_worth_keeping(KEY, resumed.number, 0.4)


@pytest.mark.parametrize("state", ["pruned", "fail"])
def test_no_model_outlives_a_trial_that_is_not_complete(files: Files, tmp_path: Path, state: str) -> None:
    """It had kept one when its worker died before the tell."""
    lease = claimed(files)
    files.keep(lease, "model", a_model(tmp_path), value=0.9)
    files._leases.close(lease, state)
    files.sweep(KEY)
    assert files.find(KEY, lease.number, "model") is None and names(files) == set()


def test_strange_names_in_a_store_are_left_alone(files: Files, tmp_path: Path) -> None:
    """Of the network's file system, of the Finder, of anybody; as long as the study lives and when it is forgotten."""
    lease = claimed(files)
    strange = {f"{KEY}/0/{name}" for name in (".nfs000012", ".DS_Store", "mine", "a-b-c")} | {f"{KEY}/.DS_Store"}
    for name in strange:
        files.store.write(name, io.BytesIO(b"theirs"), lambda: None)
    files.keep(lease, "checkpoint", a_file(tmp_path, b"ours"), step=1)
    files._leases.close(lease, "complete")
    files.sweep(KEY)
    assert names(files) == strange
    files.forget(KEY)
    assert names(files) == strange


def test_what_is_on_record_stays_whole_while_it_is_kept_again(files: Files, tmp_path: Path) -> None:
    """The answer to the record was lost, so that the same step of the same claim is stored a second time."""
    lease, content = claimed(files), os.urandom(CHUNK_BYTES + 1)
    files.keep(lease, "checkpoint", a_file(tmp_path, content), step=1)
    first = files.find(KEY, 0, "checkpoint")
    assert first is not None
    looks = []

    def look() -> None:
        files.between = lambda: None
        looks.append(files.fetch(first, tmp_path / "back" / "state.npz").read_bytes() == content)
        files.between = look

    files.between = look
    files.keep(lease, "checkpoint", a_file(tmp_path, content), step=1)
    assert looks == [True, True]
    again = files.find(KEY, 0, "checkpoint")
    assert again is not None and again.name != first.name and names(files) == {again.name}


@pytest.mark.parametrize("where", ["default", "given", "away"])
def test_the_files_of_a_deleted_study_go_wherever_they_lie(storage_url: str, tmp_path: Path, where: str) -> None:
    """What lies on a share that this machine does not see stays on record, for one that does."""
    storage, place = storage_at(storage_url), tmp_path / "shared"
    key, other = str(uuid.uuid4()), "not-a-uuid"
    with storage.engine.begin() as connection:
        storage.leases.raise_budget(connection, key, 1)
        storage.leases.raise_budget(connection, other, 1)
    store = store_at(None if where == "default" else str(place), storage.engine)
    kept = Files(storage.engine, store, storage.leases)
    lease = storage.leases.claim(key, "one", "host", secrets.token_hex(8))
    assert lease is not None
    kept.keep(lease, "log", a_file(tmp_path, b"words"))
    if where == "away":
        place.rename(tmp_path / "unmounted")
    assert forget_deleted(storage) == {key}
    assert (kept.find(key, 0, "log") is None) == (where != "away")
    assert storage.leases.rows(key) == [] and len(storage.leases.rows(other)) == 1, "nothing is done for a foreign row"
    if where == "away":
        (tmp_path / "unmounted").rename(place)
        assert forget_deleted(storage) == set(), "it is not old enough to be nobody's"
        with storage.engine.begin() as connection:
            connection.execute(sa.update(FILES).where(FILES.c.study_key == key).values(created=0.0))
        assert forget_deleted(storage) == {key}
    assert store.names(f"{key}/") == [] and kept.find(key, 0, "log") is None


# -- rows that are not ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../mine", "/mine", ".", "", "x/../../mine", "link/mine", "x\0y"])
def test_a_name_that_leads_out_of_the_store_is_refused(sqlite_url: str, tmp_path: Path, name: str) -> None:
    engine = storage_at(sqlite_url).engine
    store = store_at(str(tmp_path / "store"), engine)
    (tmp_path / "mine").write_text("thesis")
    (tmp_path / "store" / "link").symlink_to(tmp_path)
    name = name.replace("/mine", str(tmp_path / "mine")) if name == "/mine" else name
    store.remove(name)
    for use in (lambda: store.open_reader(name), lambda: store.write(name, io.BytesIO(b"x"), lambda: None)):
        with pytest.raises(SearchError, match=r"does not lie below .*so it is left alone"):
            use()
    with pytest.raises(SearchError, match=r"does not lie below"):
        store.names(name)
    assert (tmp_path / "mine").read_text() == "thesis"


def a_tar(*members: tuple[str, bytes, str]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, target in (("good", tarfile.REGTYPE, ""), *members):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    file.seek(0)
    return file


@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/tmp/out", tarfile.REGTYPE),  # noqa: S108 - never written
        ("../out", tarfile.REGTYPE),
        ("a/../b", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("device", tarfile.CHRTYPE),
        ("pipe", tarfile.FIFOTYPE),
    ],
)
def test_a_tar_that_is_none_of_ours_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: bytes, filtered: bool
) -> None:
    """On a Python without a filter too."""
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with pytest.raises(SearchError, match=r"is no file that we packed|does not lie below"):
        unpack(a_tar((name, kind, "good")), tmp_path / "in" / "here")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("key", ["x", "..", "../x", KEY.upper(), KEY.replace("-", ""), 7])
def test_a_key_is_a_uuid_as_it_is_written_here(key: Any) -> None:
    assert is_key(KEY) and not is_key(key)


def test_writing_keeps_the_lease(storage_url: str) -> None:
    """A large file takes longer than a lease: each piece renews it, and a lost one ends the writing."""
    engine = storage_at(storage_url).engine
    store, beats = DatabaseStore(IN_DATABASE, engine), 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 2:
            raise LeaseLost("in the middle")

    with pytest.raises(LeaseLost):
        store.write("large", io.BytesIO(bytes(CHUNK_BYTES * 3)), beat)
    assert beats == 2


def where_not_to_write(folder: Path) -> dict[str, str]:
    (folder / "file").write_text("")
    return {"a file": str(folder / "file"), "below a file": str(folder / "file" / "x"), "no files there": "/proc/x"}


@pytest.mark.parametrize("which", ["a file", "below a file", "no files there", "s3"])
def test_a_place_that_cannot_be_written_is_one_line(sqlite_url: str, tmp_path: Path, which: str) -> None:
    place = {**where_not_to_write(tmp_path), "s3": "s3://bucket/x"}[which]
    with pytest.raises(SearchError, match=r"^(files cannot be kept .*Give a.* folder|.* needs boto3)") as refused:
        store_at(place, storage_at(sqlite_url).engine)
    assert "\n" not in str(refused.value)
    make: Callable[[], Any] = lambda: store_at(str(tmp_path / "made" / "here"), storage_at(sqlite_url).engine)  # noqa: E731
    make()
    assert (tmp_path / "made" / "here").is_dir()
