"""The feature cache: a folder of features by network, shared between runs, within a limit of size."""

import logging
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import torch

from finegrain.features.shelf import LOCK, Shelf, bytes_of, take_lock

logger = logging.getLogger(__name__)

_LIKENESS = "likeness"


class FeatureCache:
    """A folder of features, shared by any number of runs and processes.

    Args:
        folder: Made when something is stored.
        limit_bytes: What all networks together may take; the networks not used for longest are removed first.
    """

    def __init__(self, folder: Path, *, limit_bytes: int | None = None) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._likeness: dict[str, float] = {}

    def shelf(self, network: str, dtype: torch.dtype) -> Shelf:
        """The features of one network, by its key."""
        return Shelf(self.folder / network, dtype=dtype, make_room=self._make_room)

    def likeness(self, network: str) -> float | None:
        """How like a network's features are to those in fp32, as noted; None where nobody has looked."""
        if network not in self._likeness:
            with suppress(OSError, ValueError):
                self._likeness[network] = float((self.folder / network / _LIKENESS).read_text(encoding="ascii"))
        return self._likeness.get(network)

    def note_likeness(self, network: str, cosine: float) -> None:
        """Remember it: here, so that all splits are computed alike, and on disk where the folder can be written."""
        self._likeness[network] = cosine
        with suppress(OSError):
            (self.folder / network).mkdir(parents=True, exist_ok=True)
            (self.folder / network / _LIKENESS).write_text(f"{cosine:.6f}", encoding="ascii")

    def _make_room(self, needed: int, keep: Path) -> bool:
        """Whether `needed` bytes more are within the limit, once older networks than `keep` are removed."""
        if self.limit_bytes is None:
            return True
        networks = [entry for entry in os.scandir(self.folder) if re.fullmatch("[0-9a-f]{64}", entry.name)]
        by_age = [Path(entry) for entry in sorted(networks, key=_last_used)]
        sizes = {path: bytes_of(path) for path in by_age}
        excess = sum(sizes.values()) + needed - self.limit_bytes
        if sizes.get(keep, 0) + needed > self.limit_bytes:
            return False
        for path in by_age:
            if excess > 0 and path != keep and _discard(path):
                logger.info("%s: removed to keep within %s bytes", path, f"{self.limit_bytes:,}")
                excess -= sizes[path]
        return excess <= 0


def _last_used(folder: os.DirEntry[str]) -> int:
    """In ns; 0 where another process has just removed it."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _discard(folder: Path) -> bool:
    """Remove a network's folder unless a process is filling it."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return False
    try:
        if not take_lock(lock, wait=False):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        os.close(lock)
