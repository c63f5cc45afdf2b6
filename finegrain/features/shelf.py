"""The features of one network on disk: sealed files of some hundred rows, every byte checked before it is used.

`<network key>/<SHA-256 of the file>.safetensors` holds `keys` uint8 [R, 32] and `values` [R, D]. A file gets
its name when it is complete and on the disk, and never changes: a crash leaves no half rows, a damaged or renamed
file contradicts its name, and processes that cannot lock each other out do no harm.
"""

import errno
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from finegrain.errors import NumericsError, OutputError, fault

logger = logging.getLogger(__name__)

_SUFFIX = ".safetensors"
_TMP = ".tmp-"
LOCK = "lock"
_ROWS = 256
"""Rows of a file: what a crash can cost."""
_BYTES = 16 << 20
"""A file of wide rows is sealed at this size, so that what waits in memory is bounded."""
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Shelf:
    """Rows by their keys, of one network: those found on disk, memory-mapped, and those added.

    Args:
        folder: Where they lie, named by the network's key; none: rows stay in memory.
        dtype: Of the values.
        make_room: Says whether so many bytes may be added to this folder.
    """

    def __init__(
        self, folder: Path | None, *, dtype: torch.dtype, make_room: Callable[[int, Path], bool] = lambda *_: True
    ) -> None:
        self.folder = folder
        self._dtype = dtype
        self._make_room = make_room
        self._values: list[Tensor] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._waiting: list[tuple[bytes, Tensor]] = []
        self._seen: set[str] = set()
        self._damaged: list[Path] = []
        self._stores = False

    def __contains__(self, key: bytes) -> bool:
        """Whether the row is at hand."""
        return key in self._places

    def load(self, wanted: Collection[bytes]) -> None:
        """Look for rows on disk. A damaged file is not read; its rows are computed again."""
        if self.folder is None:
            return
        missing = {key for key in wanted if key not in self._places}
        with suppress(OSError):
            os.utime(self.folder)
        for file in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if file.name in self._seen or not missing:
                continue
            try:
                keys, values = self._read(file, missing)
            except FileNotFoundError:  # Removed by another process to keep within its limit.
                continue
            except (OSError, ValueError, SafetensorError) as error:
                logger.warning("%s is damaged (%s); its features are computed again", file, error)
                self._damaged.append(file)
                self._seen.add(file.name)
                continue
            if missing.isdisjoint(keys):
                continue  # its bytes were not checked
            self._place(keys, values)
            self._seen.add(file.name)
            missing.difference_update(keys)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Hold the folder while rows are added: another process that wants the same ones waits for them.

        Where it cannot be written, rows that are added stay in memory.

        Raises:
            OutputError: The disk is full; whatever is sealed is kept.
        """
        lock, alone = self._hold()
        try:
            if self.folder is not None and alone:
                for leftover in (*self.folder.glob(f"{_TMP}*"), *self._damaged):
                    leftover.unlink(missing_ok=True)
            self._stores = lock is not None
            yield
            self._seal()
        finally:
            self._waiting.clear()
            if lock is not None:
                os.close(lock)

    def require_room(self, needed: int) -> None:
        """Make sure, while the shelf is being filled, that so many bytes can be stored.

        Raises:
            OutputError: The folder cannot be written, its disk or its limit of size lacks the room.
        """
        if self.folder is None:
            return
        if not self._stores:
            raise _full(self.folder, OSError(errno.EROFS, "it is read-only"), needed=needed)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise _full(self.folder, OSError(errno.ENOSPC, f"{free:,} bytes free"), needed=needed)
        if not self._make_room(needed, self.folder):
            raise _full(self.folder, OSError(errno.EDQUOT, "its limit of size is smaller"), needed=needed)

    def add(self, keys: Sequence[bytes], values: Tensor) -> None:
        """Add rows `values` [R, D] while the shelf is being filled.

        Raises:
            NumericsError: A value is not finite in the format that is stored.
            OutputError: The disk is full.
        """
        stored = values.to(self._dtype).cpu()
        if not stored.isfinite().all():
            raise NumericsError(
                fault(
                    "features are not finite",
                    got=f"up to {values.abs().max().item():.3g} in {self._dtype}",
                    expected=f"at most {torch.finfo(self._dtype).max:.3g}",
                    remedy="set runtime.precision=fp32 and leave tuning.cached_views out, or take other weights",
                )
            )
        self._waiting += zip(keys, stored, strict=True)
        if self._waiting and len(self._waiting) >= min(_ROWS, _BYTES // self._waiting[0][1].nbytes + 1):
            self._seal()

    def gather(self, keys: Sequence[bytes]) -> Tensor:
        """The rows [N, D] of these keys, all of them at hand."""
        return torch.stack([self._values[number][row] for number, row in map(self._places.__getitem__, keys)])

    def _read(self, file: Path, wanted: set[bytes]) -> tuple[list[bytes], Tensor]:
        """The keys and the memory-mapped values of a file; its bytes are checked only if something in it is wanted."""
        with safe_open(file, framework="pt") as opened:
            values, table = opened.get_tensor("values"), opened.get_tensor("keys")
            network = (opened.metadata() or {}).get("network")
        keys = [row.tobytes() for row in np.ascontiguousarray(table.numpy())]
        if not wanted.isdisjoint(keys):
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() + _SUFFIX != file.name:
                    raise ValueError("its bytes contradict its name")
        if self.folder is None or network != self.folder.name or values.dtype != self._dtype:
            raise ValueError("another network's features")
        if len(keys) != len(values):
            raise ValueError("keys and values differ in number")
        if self._values and values.shape[1:] != self._values[0].shape[1:]:
            raise ValueError("rows of another width")
        return keys, values

    def _place(self, keys: Sequence[bytes], values: Tensor) -> None:
        for row, key in enumerate(keys):
            self._places.setdefault(key, (len(self._values), row))
        self._values.append(values)

    def _seal(self) -> None:
        """Write the rows that wait; they are mapped from the file afterwards."""
        if not self._waiting:
            return
        keys, values = [key for key, _ in self._waiting], torch.stack([row for _, row in self._waiting])
        if self._stores and self.folder is not None:
            values = self._write(self.folder, keys, values)
        self._place(keys, values)
        self._waiting.clear()

    def _write(self, folder: Path, keys: Sequence[bytes], values: Tensor) -> Tensor:
        table = torch.from_numpy(np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1).copy())
        data = save({"keys": table, "values": values}, metadata={"network": folder.name})
        if not self._make_room(len(data), folder):
            logger.warning("%s: the size limit is reached; further features are computed but not stored", folder)
            self._stores = False
            return values
        file = folder / (hashlib.sha256(data).hexdigest() + _SUFFIX)
        try:
            _write_whole(file, data)
        except OSError as error:
            raise _full(folder, error, needed=len(data)) from error
        self._seen.add(file.name)
        with safe_open(file, framework="pt") as opened:
            mapped: Tensor = opened.get_tensor("values")
        return mapped

    def _hold(self) -> tuple[int | None, bool]:
        """The open lock file, none where the folder cannot be written; and whether no other process has it."""
        while True:
            lock = self._open_lock()
            if self.folder is None or lock is None:
                return None, False
            alone = take_lock(lock, wait=True)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(self.folder / LOCK)):
                    return lock, alone
            os.close(lock)  # The folder was removed to make room while this process waited: its lock is nobody's.

    def _open_lock(self) -> int | None:
        if self.folder is None:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise _full(self.folder, error) from error
            logger.warning(
                "%s cannot be written (%s): features are computed but not stored", self.folder, error.strerror
            )
            return None


def bytes_of(folder: Path) -> int:
    """What the rows of a network take on disk."""
    total = 0
    for file in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError):
            total += file.stat().st_size
    return total


def take_lock(lock: int, *, wait: bool) -> bool:
    """Take the lock of an open file, which ends with this process; False if it cannot be had.

    It cannot where another process has it, or where the filesystem knows no locks.
    """
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        if not wait:
            return False
        logger.info("waiting for another process that computes features of the same network")
        fcntl.lockf(lock, fcntl.LOCK_EX)
    except OSError as error:
        logger.info("no locks on this filesystem (%s): two processes may compute the same features", error.strerror)
        return False
    return True


def _write_whole(file: Path, data: bytes) -> None:
    """Write a file whole or not at all, under a name of its own until it is on the disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tmp = file.with_name(f"{_TMP}{secrets.token_hex(8)}")
    try:
        with tmp.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        tmp.rename(file)
    except OSError:
        with suppress(OSError):
            tmp.unlink()
        raise
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full(folder: Path, error: OSError, *, needed: int = 0) -> OutputError:
    room = f" with room for {needed:,} bytes" if needed else ""
    return OutputError(
        fault(
            f"the feature cache {folder} cannot be written",
            got=error.strerror or str(error),
            expected=f"a folder that can be made and written{room}",
            remedy="free some space or choose another folder; what was stored so far is kept",
        )
    )
