"""The scan lists exactly the files that cannot be read."""

import threading

import numpy as np
from image_corpus import JPEG, PNG, REFUSED

from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.data.scan import scan


def test_lists_the_unreadable_in_order(tmp_path):
    bad = ["truncated_50.jpg", "zero_bytes.jpg"]
    for name in bad:
        (tmp_path / name).write_bytes(REFUSED[name]())
    good = [f"{i:02}.jpg" for i in range(20)]
    for name in good:
        (tmp_path / name).write_bytes(JPEG)
    samples = [Sample(path=name, label=0) for name in [*good[:9], bad[1], *good[9:], bad[0], "missing.jpg"]]
    found = scan(samples, FileSource(tmp_path, 10**6))
    dropped = found.unreadable
    assert set(found.digests) == set(good)
    assert len(set(found.digests.values())) == 1
    assert [entry.path for entry in dropped] == [bad[1], bad[0], "missing.jpg"]
    assert "an empty file" in dropped[0].reason
    assert "No such file" in dropped[2].reason


def test_reads_every_sample_once():
    seen, lock = [], threading.Lock()

    class Counting:
        def read(self, sample: Sample) -> np.ndarray:
            with lock:
                seen.append(sample.path)
            return np.zeros((1, 1, 3), dtype=np.uint8)

    assert scan([Sample(path=str(i), label=0) for i in range(100)], Counting()).unreadable == ()
    assert sorted(map(int, seen)) == list(range(100))


def test_a_file_replaced_after_the_scan_is_found(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    source, sample = FileSource(tmp_path, 10**6), Sample(path="a.jpg", label=0)
    assert scan([sample], source).unreadable == ()
    (tmp_path / "a.jpg").write_bytes(PNG)
    assert "was replaced" in scan([sample], source).unreadable[0].reason
