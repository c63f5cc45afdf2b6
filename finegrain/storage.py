"""Run directories: atomic writes, folders with a SHA-256 manifest, one process at a time, and where user paths lead."""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from safetensors import SafetensorError

from finegrain.errors import CheckpointError, InUseError, OutputError, fault

DATA_VARIABLE = "FINEGRAIN_DATA"
_PROJECT = Path(__file__).resolve().parent.parent
_MANIFEST = "manifest.json"
_TMP = ".tmp-"
_KEPT = 2
"""Folders of one kind that are kept: the newest, and the one before in case the newest is damaged."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)

Kind = Literal["latest", "best"]


def locate(path: str) -> Path:
    """Where `path` leads: as given, else under FINEGRAIN_DATA, else under the project; as given where none has it."""
    given = Path(path).expanduser()
    bases = [Path(base) for base in (os.environ.get(DATA_VARIABLE), _PROJECT) if base]
    return next((p for p in (given, *(base / given for base in bases)) if os.path.exists(p)), given)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all, and onto the disk.

    Raises:
        OutputError: It cannot be written, or the disk is full; a file that was there is unharmed.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    tmp = path.with_name(f"{_TMP}{path.name}")
    try:
        with tmp.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        tmp.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(tmp)
        raise _unwritable(path, error, needed=len(data)) from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, whole or not at all, and onto the disk.

    Raises:
        OutputError: It cannot be written, or the disk is full; the file is as it was.
    """
    data = f"{line}\n".encode()
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                written = file.write(data)
                if written != len(data):  # a disk that fills up takes a part without an error
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise _unwritable(path, error, needed=len(data)) from error


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, where there is none.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def name_faults(name: str) -> list[str]:
    """What keeps a run's name from being that of its folder."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return []
    return [fault("name is no folder name", got=name, expected="letters, digits, . _ -", remedy="rename it")]


def run_directory(name: str, kind: str, *, newest: bool) -> Path:
    """The newest of a kind under ckpt/<name>/, or a new one there, named by time and chance so that no two are alike.

    Raises:
        OutputError: The newest is asked for, and there is none.
    """
    home = Path("ckpt") / name
    if not newest:
        return home / f"{kind}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    runs = sorted(path for path in home.glob(f"{kind}[0-9]*") if (path / "config.py").exists())
    if not runs:
        raise OutputError(fault("no run to go on with", got=f"none in {home}", expected="one", remedy="set --out"))
    return runs[-1]


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made if need be with its folder; waits until the process that holds it is done.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    except OSError as error:
        raise _unwritable(path, error) from error
    with lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield


class RunDirectory:
    """The folder of one run, held by one process; use it in a `with`.

    Its checkpoints are folders `checkpoints/<kind>-<number>`. Such a name appears by a rename of a folder that is
    complete and on the disk, so a crash at any moment leaves the one before; the highest number is the newest,
    whatever the clocks say.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Name the folder; nothing is touched before `with`.

        Args:
            path: Made if need be.
            resume: Whether it may hold a run that was begun.
        """
        self.path = path
        self._checkpoints = path / "checkpoints"
        self._resume = resume
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make the folder, prove it writable, take the lock, and clear what a crash left.

        Raises:
            InUseError: Another process holds it.
            OutputError: It cannot be written, or it holds another run.
        """
        try:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._take_lock(self._lock)
            self._refuse_another_run()
            for folder in (self.path, self._checkpoints):
                (folder / f"{_TMP}test").write_text("can be written")
        except OSError as error:
            self._release()
            raise _unwritable(self.path, error) from error
        except OutputError:
            self._release()
            raise
        for leftover in (*self.path.glob(f"{_TMP}*"), *self._checkpoints.glob(f"{_TMP}*")):
            _remove(leftover)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next process in."""
        self._release()

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return bool(self._numbered("latest"))

    def write(self, name: str, content: bytes | str) -> None:
        """Write the file `name` of this folder whole or not at all."""
        atomic_write(self.path / name, content)

    def require_space(self, needed: int) -> None:
        """Refuse to begin what the disk cannot hold.

        Raises:
            OutputError: Fewer than `needed` bytes are free or taken by checkpoints that new ones will replace.
        """
        free = shutil.disk_usage(self.path).free + sum(_size(folder) for folder in self._checkpoints.iterdir())
        if free < needed:
            raise OutputError(
                fault(
                    f"the disk of {self.path} is too full for this run's checkpoints",
                    got=f"{free:,} bytes free",
                    expected=f"{needed:,} bytes",
                    remedy="free some space or choose another --out",
                )
            )

    def save(self, kind: Kind, fill: Callable[[Path], None]) -> Path:
        """Add a checkpoint folder: filled, hashed, brought to the disk, and only then named.

        Args:
            kind: What it is; the newest two of a kind are kept.
            fill: Writes files into the empty folder it is given.

        Raises:
            OutputError: The disk is full or refuses; the earlier checkpoints are unharmed.
        """
        older = self._numbered(kind)
        number = older[-1][0] + 1 if older else 0
        tmp, final = self._checkpoints / f"{_TMP}{kind}", self._checkpoints / f"{kind}-{number:06d}"
        try:
            _remove(tmp)
            tmp.mkdir()
            fill(tmp)
            _seal(tmp)
            tmp.rename(final)
            _sync_folder(self._checkpoints)
        except (OSError, SafetensorError) as error:
            needed = max(_size(folder) for folder in (tmp, *(folder for _, folder in older)))
            _remove(tmp)
            raise _unwritable(final, error, needed=needed) from error
        except BaseException:
            _remove(tmp)
            raise
        for _, folder in older[: 1 - _KEPT]:
            self._discard(folder)
        return final

    def newest(self, kind: Kind) -> Path | None:
        """The newest checkpoint folder of a kind, every byte verified; None where there is none.

        Raises:
            CheckpointError: It is damaged; names the newest that is not. To fall back costs the work in between, so
                it is left to the user.
        """
        folders = [folder for _, folder in reversed(self._numbered(kind))]
        damage = _damage(folders[0]) if folders else None
        if damage is None:
            return folders[0] if folders else None
        sound = next((folder for folder in folders if _damage(folder) is None), None)
        damaged = " and ".join(map(str, folders[: folders.index(sound)])) if sound else ""
        remedy = f"delete {damaged} to fall back on {sound}" if sound else "start again with another --out"
        raise CheckpointError(
            fault(
                f"the checkpoint {folders[0]} is damaged",
                got=damage,
                expected="files as they were saved",
                remedy=remedy,
            )
        )

    def _discard(self, folder: Path) -> None:
        """Unname it first: no crash may leave a folder that lost half its files under a checkpoint's name."""
        with suppress(OSError):
            _remove(folder.rename(self._checkpoints / f"{_TMP}{folder.name}"))

    def _numbered(self, kind: Kind) -> list[tuple[int, Path]]:
        found = ((folder.name.rpartition("-")[2], folder) for folder in self._checkpoints.glob(f"{kind}-*"))
        return sorted((int(number), folder) for number, folder in found if number.isdigit())

    def _take_lock(self, lock: int) -> None:
        """Take the lock for this process alone.

        A POSIX lock, since that dies with its process; a `flock` is inherited, so that the loader workers of a killed
        run would hold it for seconds.
        """
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise InUseError(
                fault(
                    f"{self.path} is in use",
                    got=os.read(lock, 200).decode(errors="replace") or "another process",
                    expected="a run directory that nobody writes to",
                    remedy="wait for it, or choose another --out",
                )
            ) from None
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()} since {started}".encode(), 0)

    def _refuse_another_run(self) -> None:
        if (self.path / "config.py").exists() and not self._resume:
            raise OutputError(
                fault(
                    f"{self.path} holds a run already",
                    got="its config.py",
                    expected="an empty or new folder",
                    remedy="add --resume to go on with it, or choose another --out",
                )
            )

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _damage(folder: Path) -> str | None:
    """How the files of a folder differ from its manifest; None where they do not."""
    try:
        manifest: dict[str, dict[str, str | int]] = json.loads((folder / _MANIFEST).read_bytes())
        for name, record in manifest.items():
            file = folder / name
            if file.stat().st_size != record["bytes"] or _sha256(file) != record["sha256"]:
                return f"{name} differs from {_MANIFEST}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{_MANIFEST} is no manifest"
    return None


def _seal(folder: Path) -> None:
    """Add the manifest, and bring the folder to the disk."""
    manifest = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in folder.rglob("*"):
        if path.is_dir():
            _sync_folder(path)
            continue
        path.chmod(0o644)  # safetensors writes for the owner alone, whatever the umask
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
    _sync_folder(folder)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk: without it a rename can be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _unwritable(path: Path, error: Exception, *, needed: int = 0) -> OutputError:
    existing = next((folder for folder in path.parents if folder.is_dir()), Path("/"))
    room = f" with room for {needed:,} bytes ({shutil.disk_usage(existing).free:,} are free)" if needed else ""
    remedy = "free some space, mend the rights, or choose another --out"
    if getattr(error, "errno", None) in _NO_LOCKS:
        remedy = "choose another --out, on a filesystem that knows locks"
    return OutputError(
        fault(
            f"{path} cannot be written",
            got=getattr(error, "strerror", None) or str(error),
            expected=f"a writable folder{room}",
            remedy=remedy,
        )
    )
