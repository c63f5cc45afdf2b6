import gzip
import pickle
import struct

import numpy as np
import pytest

from finegrain.data.array import ArraySource
from finegrain.data.base import Sample
from finegrain.data.cifar import Cifar10
from finegrain.data.idx import FashionMnist, Mnist
from finegrain.errors import DataError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def refusal(config):
    with pytest.raises(DataError) as caught:
        config.table()
    return str(caught.value)


def write_cifar(root):
    """Record i of a batch: label i, a red plane of 1, a green plane of 2, a blue plane of i."""
    root.mkdir(exist_ok=True)
    (root / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    records = b"".join(bytes([i]) + b"\1" * 1024 + b"\2" * 1024 + bytes([i]) * 1024 for i in range(10))
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        (root / name).write_bytes(records)
    return root


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar_binary(tmp_path, below):
    write_cifar(tmp_path / below)
    table = Cifar10(root=str(tmp_path)).table()
    assert table.class_names == tuple(CLASSES)
    assert [s.split for s in table.samples].count("train") == 50
    sample = table.samples[13]
    pixels = table.source.read(sample)
    assert (sample.path, sample.label) == ("train/00013", 3)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels[5, 7].tolist() == [1, 2, 3]


def test_cifar_rows_of_pixels_run_left_to_right(tmp_path):
    record = bytes([0]) + bytes(range(32)) + bytes(3072 - 32)
    (write_cifar(tmp_path) / "test_batch.bin").write_bytes(record)
    table = Cifar10(root=str(tmp_path)).table()
    assert table.source.read(table.samples[-1])[0, :, 0].tolist() == list(range(32))


def test_cifar_as_a_tree(tmp_path):
    for path in ("train/cat/1.png", "train/dog/1.png", "test/cat/1.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    assert Cifar10(root=str(tmp_path)).table().class_names == ("cat", "dog")


def test_cifar_pickles_are_refused_unread(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({}))
    assert "cifar-10-binary.tar.gz" in refusal(Cifar10(root=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("data_batch_3.bin", b"\0" * 3072, "multiple of 3073"),
        ("data_batch_3.bin", b"", "multiple of 3073"),
        ("test_batch.bin", b"\x0a" + b"\0" * 3072, "label 10 of record 0"),
        ("batches.meta.txt", b"cat\ndog\n", "10 class names"),
    ],
)
def test_damaged_cifar_is_refused(tmp_path, name, content, expected):
    (write_cifar(tmp_path) / name).write_bytes(content)
    assert expected in refusal(Cifar10(root=str(tmp_path)))


def test_a_missing_cifar_batch_is_refused(tmp_path):
    (write_cifar(tmp_path) / "data_batch_5.bin").unlink()
    assert "data_batch_5.bin" in refusal(Cifar10(root=str(tmp_path)))


def idx(values):
    return struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()


def write_mnist(root, *, packed=False):
    root.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", 12), ("t10k", 3)):
        images = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, values in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            if packed:
                (root / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
            else:
                (root / name).write_bytes(idx(values))
    return root


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("layout", "below"), [(Mnist, ""), (Mnist, "MNIST/raw"), (FashionMnist, "FashionMNIST/raw")])
def test_mnist(tmp_path, packed, layout, below):
    write_mnist(tmp_path / below, packed=packed)
    table = layout(root=str(tmp_path)).table()
    assert [s.split for s in table.samples].count("test") == 3
    sample = table.samples[11]
    pixels = table.source.read(sample)
    assert (sample.path, sample.label) == ("train/00011", 1)
    assert pixels.shape == (28, 28, 3)
    assert (pixels == 11).all()


def test_class_names():
    assert Mnist.class_names[3] == "3"
    assert FashionMnist.class_names[9] == "Ankle boot"


TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (TRAIN_IMAGES, lambda content: content[:-1], "fewer bytes"),
        (TRAIN_IMAGES, lambda content: content + b"\0", "more bytes"),
        (TRAIN_IMAGES, lambda content: b"\0\0\x0d\3" + content[4:], "magic 2051"),
        (TRAIN_IMAGES, lambda content: content[:4] + b"\xff" * 4 + content[8:], "at most 1000000"),
        (TRAIN_IMAGES, lambda content: content[:7], "got 7 bytes; expected a whole IDX file"),
        (TRAIN_IMAGES, lambda content: b"", "got 0 bytes; expected a whole IDX file"),
        (TRAIN_LABELS, lambda content: content[:-1] + b"\x0a", "label 10 of train image 11"),
        (TRAIN_LABELS, lambda content: idx(np.zeros(11, dtype=np.uint8)), "12 train images, 11 labels"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_idx_files_are_refused(tmp_path, name, change, expected, packed):
    write_mnist(tmp_path, packed=packed)
    file = tmp_path / (f"{name}.gz" if packed else name)
    content = change(gzip.decompress(file.read_bytes()) if packed else file.read_bytes())
    file.write_bytes(gzip.compress(content) if packed else content)
    assert expected in refusal(Mnist(root=str(tmp_path)))


@pytest.mark.parametrize("damage", [lambda c: c[:40], lambda c: b"no gzip", lambda c: c[:30] + b"\xff" * 9 + c[39:]])
def test_damaged_gzip_is_refused(tmp_path, damage):
    file = write_mnist(tmp_path, packed=True) / f"{TRAIN_IMAGES}.gz"
    file.write_bytes(damage(file.read_bytes()))
    assert "cannot be used" in refusal(Mnist(root=str(tmp_path)))


def test_a_missing_idx_file_is_refused(tmp_path):
    (write_mnist(tmp_path) / TRAIN_LABELS).unlink()
    assert TRAIN_LABELS in refusal(Mnist(root=str(tmp_path)))


@pytest.mark.parametrize("layout", [Cifar10, Mnist, FashionMnist])
def test_a_missing_root_says_where_to_get_it(layout, tmp_path):
    message = refusal(layout(root=str(tmp_path / "nowhere")))
    assert "no such root" in message
    assert "of the dataset" in message


def test_array_source_survives_pickling():
    source = ArraySource({"train": np.full((2, 4, 5), 9, dtype=np.uint8)})
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read(Sample(path="train/00001", label=0)).shape == (4, 5, 3)
