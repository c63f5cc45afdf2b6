"""Batches are a function of (seed, epoch, step) and nothing else."""

import hashlib
import multiprocessing
import pickle
import signal
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from image_corpus import JPEG, encode, photo

from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.data.loader import Batch, Loader
from finegrain.data.transforms import AugmentConfig, eval_transform
from finegrain.errors import DataError
from finegrain.preprocessing import Preprocessing

SMALL = Preprocessing(
    image_size=16, resize_size=18, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> FileSource:
    root = tmp_path_factory.mktemp("set")
    for i in range(22):
        (root / f"{i}.jpg").write_bytes(encode(photo(20 + i, 30), "JPEG"))
    return FileSource(root, 10**6)


def loader(
    source, *, n: int = 22, batch_size: int = 5, train: bool = True, num_workers: int = 0, seed: int = 3
) -> Loader:
    samples = [Sample(path=f"{i}.jpg", label=i % 4) for i in range(n)]
    transform = AugmentConfig(preset="strong").train_transform(SMALL) if train else eval_transform(SMALL)
    sizes = {"batch_size": batch_size, "num_workers": num_workers}
    return Loader(samples, source=source, transform=transform, seed=seed, train=train, **sizes)


def digest(batches: Iterable[Batch]) -> list[str]:
    """One hash a batch, of images, labels and indices."""
    parts = ((b.images.contiguous(), b.labels, b.indices) for b in batches)
    return [hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest() for tensors in parts]


@pytest.fixture(scope="module")
def reference(source) -> list[list[str]]:
    """The batches of two epochs, loaded in this process."""
    plain = loader(source)
    return [digest(plain.epoch(epoch)) for epoch in (0, 1)]


@pytest.mark.parametrize("num_workers", [0, 1, 2, 4])
def test_the_number_of_workers_changes_nothing(source, reference, num_workers):
    other = loader(source, num_workers=num_workers)
    assert [digest(other.epoch(epoch)) for epoch in (0, 1)] == reference
    assert digest(other.epoch(0, start_step=3)) == reference[0][3:]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_leaving_an_epoch_early_changes_nothing_after_it(source, reference, num_workers):
    other = loader(source, num_workers=num_workers)
    batches = other.epoch(0)
    next(batches)
    del batches
    assert digest(other.epoch(1)) == reference[1]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(source, reference, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert digest(loader(source).epoch(0)) == reference[0]
    finally:
        torch.set_num_threads(before)


def test_global_random_state_neither_matters_nor_moves(source, reference):
    for num_workers in (0, 1):
        other = loader(source, num_workers=num_workers)
        torch.manual_seed(99)
        before = torch.get_rng_state()
        assert digest(other.epoch(0)) == reference[0]
        assert torch.equal(torch.get_rng_state(), before)


def test_epochs_and_seeds_differ(source, reference):
    assert not set(reference[0]) & set(reference[1])
    assert not set(reference[0]) & set(digest(loader(source, seed=4).epoch(0)))


@pytest.mark.parametrize("train", [True, False])
def test_every_sample_once(source, train):
    batches = list(loader(source, train=train).epoch(0))
    indices = torch.cat([batch.indices for batch in batches]).tolist()
    assert sorted(indices) == list(range(22))
    assert (indices == list(range(22))) is not train
    assert [len(batch.labels) for batch in batches] == [5, 5, 5, 5, 2]
    assert all(batch.labels.tolist() == [i % 4 for i in batch.indices.tolist()] for batch in batches)


def test_batches_are_uint8_and_channels_last(source):
    batch = next(loader(source).epoch(0))
    assert batch.images.shape == (5, 3, 16, 16)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.parametrize(
    ("n", "batch_size", "train", "steps"),
    [(21, 5, True, 4), (21, 5, False, 5), (22, 5, True, 5), (20, 5, True, 4), (3, 1, True, 3), (3, 8, True, 1)],
)
def test_only_a_lone_last_training_image_is_left_out(source, n, batch_size, train, steps):
    other = loader(source, n=n, batch_size=batch_size, train=train)
    assert len(other) == steps == len(list(other.epoch(0)))


@pytest.mark.parametrize(("n", "train"), [(0, False), (0, True), (1, True)])
def test_nothing_to_load_is_refused(source, n, train):
    with pytest.raises(DataError, match=f"too few images to load: got {n};"):
        loader(source, n=n, train=train)


def test_workers_stop_at_once_after_an_error(source):
    """Workers in a reference cycle are stopped by the garbage collector, after a timeout of 5 s each."""
    broken = loader(source, n=30, num_workers=1)
    with pytest.raises(DataError) as caught:
        list(broken.epoch(0))
    frames = [entry.frame.f_locals.values() for entry in caught.traceback]
    assert not any(value is caught.value for values in frames for value in values)


def leave_mid_epoch(source) -> None:
    held = loader(source, num_workers=2)
    leave_mid_epoch.batches = held.epoch(0), held  # nothing is collected before the process ends
    next(leave_mid_epoch.batches[0])


def test_a_process_that_leaves_mid_epoch_ends(source):
    """Its workers put a SIGTERM off, so that it may not wait for one to end them."""
    process = multiprocessing.get_context("fork").Process(target=leave_mid_epoch, args=(source,))
    process.start()
    process.join(60)
    hung = process.exitcode is None
    process.kill()
    assert not hung
    assert process.exitcode == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bad_file_stops_with_the_same_message(tmp_path, num_workers):
    for i in range(6):
        (tmp_path / f"{i}.jpg").write_bytes(JPEG if i != 4 else JPEG[:300])
    bad = loader(FileSource(tmp_path, 10**6), n=6, batch_size=2, train=False, num_workers=num_workers)
    batches = bad.epoch(0)
    assert len(list(zip(range(2), batches, strict=False))) == 2
    with pytest.raises(DataError, match=r"^4\.jpg cannot be read as an image: got") as caught:
        next(batches)
    assert "Traceback" not in str(caught.value)


class SignalSource:
    """Returns the worker's way of handling an interrupt as a pixel: 1 for ignoring it."""

    def read(self, sample: Sample) -> np.ndarray:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return np.full((16, 16, 3), int(ignored) + 10 * torch.get_num_threads(), dtype=np.uint8)


def test_workers_leave_interrupts_to_the_parent_and_use_one_thread():
    batch = next(loader(SignalSource(), n=2, train=False, num_workers=1).epoch(0))
    assert set(batch.images.flatten().tolist()) == {11}


def test_source_and_transform_travel_to_workers_by_pickle(source):
    plain = loader(source)
    assert digest(pickle.loads(pickle.dumps(plain)).epoch(0)) == digest(plain.epoch(0))
