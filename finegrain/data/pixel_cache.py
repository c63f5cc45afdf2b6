"""Decoded pixels kept on disk as one uint8 memory map, so that later epochs and later runs decode nothing."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from finegrain.data.base import Sample, Source
from finegrain.data.prefetch import ordered_map
from finegrain.errors import OutputError, fault

logger = logging.getLogger(__name__)

_PROBED = 64
"""Images decoded to estimate how much room all will take."""


@runtime_checkable
class FingerprintedSource(Source, Protocol):
    """A source that says what its pixels depend on."""

    def fingerprint(self, sample: Sample) -> str:
        """Changes whenever the pixels of `sample` may have changed."""
        ...


class PixelCache:
    """A `Source` that reads what another source decoded once.

    `folder/<key>/` holds `pixels.bin`, `index.npy` (int64 [N, 4]: offset, height, width, CRC-32) and `manifest.json`.
    The key is the SHA-256 of all fingerprints, so that any change of a file, box or setting makes another cache. An
    image whose stored pixels fail their checksum is decoded again.

    Args:
        folder: Where caches live; created when missing.
        samples: All that will be read.
        source: Decodes.

    Raises:
        DataError: A sample cannot be read.
        OutputError: The cache cannot be written.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample], source: FingerprintedSource) -> None:
        self._source = source
        ordered = sorted(samples, key=lambda sample: sample.path)
        self._rows = {sample.path: row for row, sample in enumerate(ordered)}
        self._folder = folder / _key(ordered, source)
        if not _is_whole(self._folder):
            _write(self._folder, ordered, source)
        self._open()

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3], read-only.

        Raises:
            DataError: Its stored pixels are damaged and the file cannot be read either.
        """
        row = self._rows[sample.path]
        offset, height, width, checksum = (int(number) for number in self._index[row])
        pixels: NDArray[np.uint8] = self._pixels[offset : offset + height * width * 3].reshape(height, width, 3)
        if not self._checked[row]:
            if zlib.crc32(pixels.data) != checksum:
                logger.warning("%s: stored pixels are damaged; decoding the file again", sample.path)
                return self._source.read(sample)
            self._checked[row] = True
        return pixels

    def _open(self) -> None:
        self._index = np.load(self._folder / "index.npy", allow_pickle=False)
        self._pixels = np.memmap(self._folder / "pixels.bin", dtype=np.uint8, mode="r")
        self._checked = np.zeros(len(self._index), dtype=bool)

    def __getstate__(self) -> dict[str, Any]:
        """Without the pixels: a loader process maps them itself."""
        return {"_source": self._source, "_rows": self._rows, "_folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


def _key(samples: Sequence[Sample], source: FingerprintedSource) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(source.fingerprint(sample).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _is_whole(folder: Path) -> bool:
    """Whether `folder` is a finished cache; images are checked one by one as they are read."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        index = hashlib.sha256((folder / "index.npy").read_bytes()).hexdigest()
        size = (folder / "pixels.bin").stat().st_size
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        logger.warning("%s: the pixel cache cannot be read (%s); building it again", folder, error)
        return False
    if manifest == {"index_sha256": index, "pixels_bytes": size}:
        return True
    logger.warning("%s: the pixel cache is damaged; building it again", folder)
    return False


def _write(folder: Path, samples: Sequence[Sample], source: Source) -> None:
    """Build the cache beside its place and move it there whole; a second process waits and then finds it done."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent / ".lock"):
            if _is_whole(folder):
                return
            _check_space(folder.parent, samples, source)
            unfinished = folder.with_suffix(".tmp")
            for leftover in (unfinished, folder):
                shutil.rmtree(leftover, ignore_errors=True)
            unfinished.mkdir()
            try:
                _fill(unfinished, samples, source)
                unfinished.rename(folder)
                _sync_folder(folder.parent)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        room = f", {shutil.disk_usage(folder.parent).free:,} bytes free" if error.errno == errno.ENOSPC else ""
        raise OutputError(
            fault(
                f"the pixel cache cannot be written in {folder.parent}",
                got=f"{error.strerror or error}{room}",
                expected="a folder with room that can be written",
                remedy="set data.pixel_cache to another folder, or to none",
            )
        ) from error


def _fill(folder: Path, samples: Sequence[Sample], source: Source) -> None:
    threads = os.cpu_count() or 1
    decoded = ordered_map(source.read, samples, threads=threads, ahead=4 * threads)
    rows, offset = [], 0
    with open(folder / "pixels.bin", "wb") as file:
        for pixels in tqdm(decoded, total=len(samples), desc="caching pixels", unit="image", leave=False, disable=None):
            data = np.ascontiguousarray(pixels)
            file.write(data.data)
            rows.append((offset, *data.shape[:2], zlib.crc32(data.data)))
            offset += data.nbytes
        _sync(file)
    with open(folder / "index.npy", "wb") as file:
        np.save(file, np.array(rows, dtype=np.int64).reshape(-1, 4), allow_pickle=False)
        _sync(file)
    index = hashlib.sha256((folder / "index.npy").read_bytes()).hexdigest()
    with open(folder / "manifest.json", "wb") as file:
        file.write(json.dumps({"index_sha256": index, "pixels_bytes": offset}).encode())
        _sync(file)
    _sync_folder(folder)


def _check_space(folder: Path, samples: Sequence[Sample], source: Source) -> None:
    """Refuse before hours of decoding what will not fit, judged by images spread over the dataset."""
    probe = samples[:: max(1, len(samples) // _PROBED)]
    needed = sum(source.read(sample).nbytes for sample in probe) * len(samples) // max(1, len(probe))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            fault(
                f"the pixel cache does not fit in {folder}",
                got=f"{free:,} bytes free",
                expected=f"about {needed:,} bytes",
                remedy="free space, set data.pixel_cache to another folder, or to none",
            )
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file; the system frees it even when the holder is killed."""
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
