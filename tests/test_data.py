"""Data: the binary files, what is refused, the cut, the order of batches, the download."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from objectives import data
from objectives.data import download
from objectives.data.batches import Batches
from objectives.data.cifar10 import LAYOUT as CIFAR10
from objectives.data.cifar100 import FINE_NAMES, SUPERCLASS
from objectives.data.cifar100 import LAYOUT as CIFAR100
from objectives.training.backend import as_dataset
from search.contract import SearchError, Size
from tests.cifar_files import records, write_cifar10, write_cifar100

OPENED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _watch_opens() -> None:
    sys.addaudithook(lambda event, args: OPENED.append(str(args[0])) if event == "open" else None)


def test_images_are_what_the_records_hold(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=50, test=10)
    dataset = data.load("cifar10", tmp_path, "train")
    content = b"".join((tmp_path / CIFAR10.folder / file).read_bytes() for file in CIFAR10.train)
    raw = np.frombuffer(content, dtype=np.uint8).reshape(50, 3073)
    assert dataset.images.shape == (50, 32, 32, 3)
    assert (dataset.labels == raw[:, 0]).all() and dataset.labels.dtype == np.int64
    # record 37 lies in the fourth file; its green plane begins at byte 1 + 1024, row 5 at 5 * 32 of it
    assert dataset.images[np.array([37])][0, 5, 9, 1] == raw[37, 1 + 1024 + 5 * 32 + 9]
    chosen = np.array([49, 0, 37, 10, 9])
    images = dataset.images[chosen]
    assert images.dtype == np.uint8
    assert (images == raw[chosen, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all()
    assert dataset.checksum == hashlib.sha256(content).hexdigest()
    assert dataset.class_names[3] == "cat" and dataset.coarse is None


def test_cifar100_has_superclasses_and_names_from_the_files(tmp_path: Path) -> None:
    write_cifar100(tmp_path, train=200, test=100)
    dataset = data.load("cifar100", tmp_path, "test")
    assert dataset.coarse is not None and dataset.coarse_names is not None
    assert (dataset.coarse == np.array(SUPERCLASS)[dataset.labels]).all()
    assert dataset.class_names[0] == "apple" and dataset.coarse_names[4] == "fruit_and_vegetables"
    assert np.bincount(SUPERCLASS).tolist() == [5] * 20 and SUPERCLASS[0] == 4
    names = FINE_NAMES.replace("apple", "pomme").split()
    (tmp_path / CIFAR100.folder / "fine_label_names.txt").write_text("\n".join(names))
    assert data.load("cifar100", tmp_path, "test").class_names[0] == "pomme"
    (tmp_path / CIFAR100.folder / "fine_label_names.txt").write_text("apple\n")
    with pytest.raises(SearchError, match="holds 1 class names instead of 100"):
        data.load("cifar100", tmp_path, "test")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_train_part_and_its_identity_never_open_the_test_file(tmp_path: Path, name: str) -> None:
    (write_cifar10 if name == "cifar10" else write_cifar100)(tmp_path, train=200, test=100)
    OPENED.clear()
    dataset = data.load(name, tmp_path, "train")
    data.identity(name, tmp_path, Size(budget=1, epochs=1))
    data.statistics(dataset, np.arange(200))
    assert any("batch_5.bin" in path or "train.bin" in path for path in OPENED)
    assert not any("test" in Path(path).name for path in OPENED)
    data.load(name, tmp_path, "test")
    assert any("test" in Path(path).name for path in OPENED)


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _label_10(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3073 * 2] = 10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(_torn, "no whole number of 3073-byte"), (_empty, "holds 0 bytes"), (_label_10, "label 10 of record 2")],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    write_cifar10(tmp_path, train=50, test=10)
    damage(tmp_path / CIFAR10.folder / "data_batch_4.bin")
    with pytest.raises(SearchError, match=message) as error:
        data.load("cifar10", tmp_path, "train")
    assert "data_batch_4.bin" in str(error.value) and "\n" not in str(error.value)


def test_a_torn_test_file_is_refused_before_the_search(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=50, test=10)
    _torn(tmp_path / CIFAR10.folder / "test_batch.bin")
    with pytest.raises(SearchError, match=r"test_batch\.bin holds 30729 bytes"):
        data.identity("cifar10", tmp_path, Size(budget=1, epochs=1))


def test_a_wrong_superclass_is_refused(tmp_path: Path) -> None:
    write_cifar100(tmp_path, train=200, test=100)
    path = tmp_path / CIFAR100.folder / "train.bin"
    content = bytearray(path.read_bytes())
    content[7 * 3074] ^= 1
    path.write_bytes(content)
    with pytest.raises(SearchError, match=r"train\.bin is no CIFAR-100 file \(record 7 has another superclass"):
        data.load("cifar100", tmp_path, "train")


def test_a_folder_that_is_not_whole_is_not_downloaded_over(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=50, test=10)
    (tmp_path / CIFAR10.folder / "test_batch.bin").unlink()
    with pytest.raises(SearchError, match=r"lacks test_batch\.bin"):
        data.load("cifar10", tmp_path, "train")


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="'cifar11': there are cifar10, cifar100, digits"):
        data.load("cifar11", tmp_path, "train")
    with pytest.raises(SearchError, match="'batches': there are cifar10"):  # a file of the folder, but no data set
        data.load("batches", tmp_path, "train")


def test_digits_come_whole_and_with_a_test_part_apart() -> None:
    train, test = data.load("digits", Path("nowhere"), "train"), data.load("digits", Path("nowhere"), "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape == (1437, 8, 8, 1) and train.images[:].dtype == np.uint8
    assert train.images[:].max() == 255
    assert np.bincount(test.labels).min() >= 34
    assert train.checksum != test.checksum
    assert data.load("digits", Path("nowhere"), "train").checksum == train.checksum


LABELS = np.random.default_rng(5).permutation(np.arange(1_000) % 10)


def test_the_cut_is_stratified_disjoint_and_whole() -> None:
    parts = data.cut(LABELS, train=None, validation=100)
    assert np.bincount(LABELS[parts.validation]).tolist() == [10] * 10
    assert np.bincount(LABELS[parts.train]).tolist() == [90] * 10
    assert sorted([*parts.train, *parts.validation]) == list(range(1_000))
    assert (np.diff(parts.train) > 0).all() and (np.diff(parts.validation) > 0).all()
    uneven = np.repeat([0, 1, 2], [700, 299, 1])
    chosen = data.cut(uneven, train=100, validation=100)
    assert np.bincount(uneven[chosen.validation], minlength=3).tolist() == [70, 30, 0]
    assert len(chosen.train) == 100


def test_validation_does_not_depend_on_train_and_a_small_train_is_a_part_of_a_large_one() -> None:
    small, large = (data.cut(LABELS, train=n, validation=100) for n in (200, 500))
    assert (small.validation == large.validation).all()
    assert set(small.train) < set(large.train)
    assert small.checksum != large.checksum


def test_a_cut_takes_at_most_what_is_there() -> None:
    parts = data.cut(LABELS, train=45_000, validation=5_000)
    assert (len(parts.train), len(parts.validation)) == (800, 200)
    assert len(data.cut(LABELS, train=None, validation=0).train) == 1_000
    for train, validation in ((0, 10), (-3, 10), (10, -1)):
        with pytest.raises(SearchError):
            data.cut(LABELS, train=train, validation=validation)
    with pytest.raises(SearchError, match="too few"):
        data.cut(LABELS[:4], train=None, validation=2)


def test_the_cut_is_the_same_for_ever() -> None:
    """Studies are resumed and joined by other versions of this code: their cut must be this one."""
    checksum = data.cut(np.arange(1_000) % 10, train=300, validation=100).checksum
    assert checksum == "94ab1f2e8f9d2e0e3402cf3f0981b14fd9cfbf144ee910fc3d935753bff3928e"


def test_the_identity_is_json_and_records_what_was_taken(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=500, test=100)
    size = Size(budget=1, epochs=1, train_images=6_000, validation_images=2_000)
    identity = data.identity("cifar10", tmp_path, size)
    assert json.loads(json.dumps(identity)) == identity
    assert (identity["train"], identity["validation"], identity["images"]) == (400, 100, 500)
    smaller = data.identity("cifar10", tmp_path, dataclasses.replace(size, train_images=100))
    assert smaller["data_sha256"] == identity["data_sha256"]
    assert smaller["split_sha256"] != identity["split_sha256"]


def test_statistics_are_those_of_the_chosen_images(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=1_500, test=10)
    dataset = data.load("cifar10", tmp_path, "train")
    chosen = np.arange(3, 1_400, 2)  # more than one chunk
    mean, std = data.statistics(dataset, chosen)
    images = dataset.images[chosen] / 255
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, images.std(axis=(0, 1, 2)), rtol=1e-9)


def test_batches_are_a_pure_function_of_seed_and_epoch(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=100, test=10)
    dataset = data.load("cifar10", tmp_path, "train")
    indices = np.arange(10, 100)

    def epoch(batches: Batches, number: int) -> list[bytes]:
        batches.epoch = number
        return [batches[i][0].tobytes() for i in range(batches.num_batches)]

    batches, other = (Batches(dataset, indices, batch=32, seed=s, shuffle=True) for s in (7, 8))
    first, second = epoch(batches, 0), epoch(batches, 1)
    resumed = Batches(dataset, indices, batch=32, seed=7, shuffle=True)
    resumed[2], resumed.on_epoch_end()  # fit peeks, and says that an epoch ended when none did
    assert epoch(resumed, 1) == second
    assert epoch(batches, 0) == first
    assert first != second and first != epoch(other, 0)
    assert sorted(batches.order(3)) == indices.tolist()


def test_the_first_epochs_may_be_longer(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=100, test=10)
    dataset, indices = data.load("cifar10", tmp_path, "train"), np.arange(10, 100)
    batches = Batches(dataset, indices, batch=32, seed=7, shuffle=True, drop_last=True, longer=2)
    usual = Batches(dataset, indices, batch=32, seed=7, shuffle=True, drop_last=True)
    counts = []
    for batches.epoch in range(4):
        counts.append(batches.num_batches)
    assert counts == [5, 5, 2, 2] and usual.num_batches == 2, "160 of 90 images, and 90"
    assert [batches.batches_of(epochs) for epochs in range(5)] == [0, 5, 10, 12, 14]
    order = batches.order(1)
    assert len(order) == 160 and sorted(order[:90]) == indices.tolist() and len(set(order[90:])) == 70
    assert (batches.order(3) == usual.order(3)).all() and (order[:90] == usual.order(1)).all()
    batches.epoch = 0
    assert len(as_dataset(batches)) == 5
    assert [len(images) for images, _ in as_dataset(batches)] == [32] * 5


def test_batches_hold_uint8_images_and_one_hot_labels(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=100, test=10)
    dataset = data.load("cifar10", tmp_path, "train")
    batches = Batches(dataset, np.arange(70), batch=32, seed=0, shuffle=False)
    images, one_hot = batches[2]
    assert batches.num_batches == 3 and len(images) == 6 and images.dtype == np.uint8
    assert one_hot.dtype == np.float32 and (one_hot == np.eye(10)[dataset.labels[64:70]]).all()
    assert Batches(dataset, np.arange(70), batch=32, seed=0, shuffle=False, drop_last=True).num_batches == 2
    only = Batches(dataset, np.arange(20), batch=32, seed=0, shuffle=False, drop_last=True)
    assert only.num_batches == 1 and len(only[0][0]) == 20


def test_the_identity_of_data_does_not_load_keras() -> None:
    script = "import sys, objectives.data as d; d.identity; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


class _Server:
    """A real web server on this machine, for one folder; counts what is fetched."""

    def __init__(self, folder: Path) -> None:
        fetched = self.fetched = []  # type: ignore[var-annotated]

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                fetched.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[_Server, str]]:
    """A served archive of tiny files, and its MD5."""
    write_cifar10(tmp_path / "made", train=50, test=10)
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / CIFAR10.archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / CIFAR10.folder, CIFAR10.folder)
    server = _Server(served)
    yield server, hashlib.md5((served / CIFAR10.archive).read_bytes(), usedforsecurity=False).hexdigest()
    server.http.shutdown()
    server.http.server_close()


def test_several_processes_download_once(
    tmp_path: Path, archive: tuple[_Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, md5 = archive
    monkeypatch.setenv("SEARCH_DATA_URL", server.url)
    here = tmp_path / "data"
    (here / ".download-left-over").mkdir(parents=True)  # by a process that was killed
    script = (
        "import dataclasses, pathlib, sys; from objectives.data import cifar, cifar10, download\n"
        "layout = dataclasses.replace(cifar10.LAYOUT, md5=sys.argv[2])\n"
        "download.find_or_download(layout, pathlib.Path(sys.argv[1]))\n"
        "print(len(cifar.read(layout, pathlib.Path(sys.argv[1]), 'train')))"
    )
    command = [sys.executable, "-c", script, str(here), md5]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[0] for process in processes] == ["50\n"] * 4
    assert server.fetched == [f"/{CIFAR10.archive}"]
    assert {path.name for path in here.iterdir()} == {CIFAR10.folder, ".download.lock"}


def test_another_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, archive: tuple[_Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = archive
    monkeypatch.setenv("SEARCH_DATA_URL", server.url)
    with pytest.raises(SearchError, match="does not match the known hash"):
        download.find_or_download(CIFAR10, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".download.lock"]
    assert len(server.fetched) == 2  # two tries


def test_nothing_to_be_had_is_one_line_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    monkeypatch.setenv("SEARCH_DATA_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
    begun = time.monotonic()
    with silent, pytest.raises(SearchError) as error:
        data.load("cifar10", tmp_path / "data", "train")
    assert time.monotonic() - begun < 10  # Keras takes up to five more
    message = str(error.value)
    assert "\n" not in message and "cnn_digits" in message and "data_batch_5.bin, test_batch.bin" in message
    assert not (tmp_path / "data").exists()


def test_the_files_for_tests_are_the_official_format() -> None:
    assert records(CIFAR10, np.arange(10)).shape == (10, 3073)
    assert records(CIFAR100, np.arange(100)).shape == (100, 3074)


def test_batches_come_in_their_order_without_autotuning(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=100, test=10)
    dataset = data.load("cifar10", tmp_path, "train")
    batches = Batches(dataset, np.arange(100), batch=32, seed=7, shuffle=True, drop_last=True)
    fed = as_dataset(batches)
    assert not fed.options().autotune.enabled, "for whose end an epoch would wait"
    assert int(fed.cardinality()) == batches.num_batches == 3
    for epoch in (0, 1):
        batches.epoch = epoch
        got = np.concatenate([images for images, _ in fed.as_numpy_iterator()])
        assert (got == dataset.images[batches.order(epoch)[:96]]).all()
