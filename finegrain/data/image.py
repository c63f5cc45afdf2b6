"""The one decoder: every pixel that is trained on, evaluated, cached or shown is read here, by one set of rules.

EXIF rotation is applied; transparency is composited on a background; 16-bit grey is scaled by `v >> 8`; of several
frames the first is used; a damaged file, however slightly, is refused.
"""

import hashlib
import io
import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
import PIL.Image
import simplejpeg
from numpy.typing import NDArray

from finegrain.data.base import Box, Sample
from finegrain.errors import DataError, fault

PIL.Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the one size limit, checked before a pixel is decoded.

DECODER_VERSION = 1
"""Raised whenever the pixels of some image change, so that stored pixels are computed anew."""

Color = tuple[int, int, int]
Pixels = NDArray[np.uint8]
Stamp = tuple[int, int]
"""Size in bytes and time of last change in ns: what tells that a file was replaced."""

WHITE: Color = (255, 255, 255)

_EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
_FORMAT_OF = {extension: name for name, extensions in _EXTENSIONS.items() for extension in extensions}
REFUSED = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw", ".raw")
"""Ends of names of photographs that cannot be read: they are refused by name and not passed over in silence."""
_ORIENTATION = 0x0112
_LARGEST_PIXEL = 8
"""Bytes of a pixel in the most wasteful accepted format; bounds what is read of a file before its header is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A decoded image."""

    pixels: Pixels
    """uint8 RGB [H, W, 3], upright."""
    notes: tuple[str, ...] = ()
    """What is unusual about the file and how it was read; the same words for the same thing in every file."""


def read_image(path: Path, *, max_pixels: int, background: Color = WHITE) -> Image:
    """Read and decode the image file at `path`.

    Args:
        path: A regular file; anything else (folder, pipe, device) is refused without waiting for it.
        max_pixels: An image with more pixels is refused before it is decoded.
        background: RGB that shows through where the image is transparent.

    Raises:
        DataError: There is no such file, it cannot be read, or it is not an undamaged image of an accepted format.
    """
    data, _ = _read_file(path, str(path), max_pixels)
    return decode(data, str(path), max_pixels=max_pixels, background=background)


def has_image_name(path: Path) -> bool:
    """Whether a file's name ends as those of images do, of refused formats too."""
    return path.suffix.lower() in {*_FORMAT_OF, *REFUSED}


def image_files(path: Path) -> list[Path]:
    """The image at `path`, whatever its name; or, of a folder, those at any depth with an image's name, in order.

    Hidden entries (`._a.jpg`, `.thumbnails/`) are passed over and links to folders followed, as in training. What
    cannot be opened, a folder too, is among them: the decoder says why.

    Raises:
        DataError: There is nothing at `path`, or no image in the folder.
    """
    found = [path] if path.is_file() else sorted(_walk(path)) if path.is_dir() else []
    if not found:
        known = "which is no file" if path.exists() else "which does not exist"
        got = f"{path}, {'a folder without any' if path.is_dir() else known}"
        expected = f"an image, or a folder of {' '.join(_FORMAT_OF)}"
        raise DataError(fault("no images", got=got, expected=expected, remedy="name another path"))
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """What lies in `folder` at any depth under an image's name, and the folders that cannot be listed."""
    seen: set[tuple[int, int]] = set()
    denied: list[Path] = []
    walk = os.walk(folder, followlinks=True, onerror=lambda error: denied.append(Path(error.filename)))
    for place, folders, names in walk:
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link may lead back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith(".") and has_image_name(Path(name)))
    yield from denied


def decode(data: bytes, name: str, *, max_pixels: int, background: Color = WHITE) -> Image:
    """Decode an image file's bytes; `name` is for messages, and its extension for a note.

    Raises:
        DataError: It is not an undamaged image of an accepted format, or it is too large.
    """
    if not data:
        raise _refusal(name, "an empty file")
    try:
        with PIL.Image.open(io.BytesIO(data), formats=tuple(_EXTENSIONS)) as image:
            return _decode_opened(image, data, name, max_pixels, background)
    except DataError:
        raise
    except PIL.UnidentifiedImageError:
        raise _refusal(name, f"a file that starts with {data[:16]!r}") from None
    except (
        Exception
    ) as error:  # Decoders of damaged bytes raise anything: OSError, struct.error, SyntaxError, KeyError...
        raise _refusal(name, f"{type(error).__name__}: {error}") from error


@dataclass(slots=True)
class FileSource:
    """Reads samples from files below one root, and refuses a file that changed since it was first read.

    Can be pickled into loader processes, with what it has seen so far.
    """

    root: Path
    max_pixels: int
    """An image with more pixels is refused undecoded."""
    box_margin: float | None = None
    """Crop to the sample's box with this margin, as a fraction of the box's sides; None: the whole image."""
    background: Color = WHITE
    """RGB behind transparent pixels."""
    _stamps: dict[str, Stamp] = field(default_factory=dict, repr=False, compare=False)
    _notes: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    _digests: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def read(self, sample: Sample) -> Pixels:
        """The image, uint8 RGB [H, W, 3].

        Raises:
            DataError: The path leaves the root, the file changed, or it cannot be read as an image.
        """
        image = decode(self._bytes(sample), sample.path, max_pixels=self.max_pixels, background=self.background)
        if image.notes:
            self._notes[sample.path] = image.notes
        if self.box_margin is None or sample.box is None:
            return image.pixels
        return _crop(image.pixels, sample.box, self.box_margin, sample.path)

    def fingerprint(self, sample: Sample) -> str:
        """Changes whenever what `read` returns may change: the file, the box, these settings or the decoder.

        Raises:
            DataError: There is no such file below the root.
        """
        status = _status(self._locate(sample), sample.path)
        settings = (DECODER_VERSION, PIL.__version__, simplejpeg.__version__, self.box_margin, self.background)
        return repr((sample.path, _stamp(status), sample.box, settings))

    def content_key(self, sample: Sample) -> bytes:
        """SHA-256 of all that `read` depends on: the file's bytes, not its name, and the crop.

        Raises:
            DataError: There is no such file below the root, or it changed since it was first read.
        """
        box = None if self.box_margin is None else sample.box
        digest = hashlib.sha256(self._bytes(sample))
        digest.update(repr((DECODER_VERSION, box, box and self.box_margin, self.background)).encode())
        return digest.digest()

    def notes(self) -> Mapping[str, tuple[str, ...]]:
        """What was unusual about the files read so far, by path."""
        return dict(self._notes)

    def digests(self) -> Mapping[str, bytes]:
        """SHA-256 of the bytes of the files read so far, by path."""
        return dict(self._digests)

    def _bytes(self, sample: Sample) -> bytes:
        """The file of `sample`, the same at every call."""
        data, stamp = _read_file(self._locate(sample), sample.path, self.max_pixels)
        if self._stamps.setdefault(sample.path, stamp) != stamp:
            raise DataError(
                fault(
                    f"{sample.path} was replaced while the run went on",
                    got="another size or time of change",
                    expected="the file that was read first",
                    remedy="start the run again",
                )
            )
        if sample.path not in self._digests:
            self._digests[sample.path] = hashlib.sha256(data).digest()
        return data

    def _locate(self, sample: Sample) -> Path:
        """The file of `sample` with links followed; it must lie below the root."""
        root = os.path.realpath(self.root)
        try:
            file = os.path.realpath(os.path.join(root, sample.path))
        except ValueError as error:
            raise _refusal(sample.path, str(error)) from None
        if not PurePath(file).is_relative_to(root):
            raise DataError(
                fault(
                    f"{sample.path} leads out of the dataset",
                    got=file,
                    expected=f"a file below {root}",
                    remedy="copy the file into the dataset's folder",
                )
            )
        return Path(file)


def _read_file(path: Path, name: str, max_pixels: int) -> tuple[bytes, Stamp]:
    """The bytes and the stamp of a regular file; O_NONBLOCK keeps a named pipe from blocking the open."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _refusal(name, getattr(error, "strerror", None) or str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(name, "not a regular file")
        if status.st_size > _LARGEST_PIXEL * max_pixels + (1 << 20):
            raise _too_large(name, f"a file of {status.st_size:,} bytes", max_pixels)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(), _stamp(status)
    except OSError as error:
        raise _refusal(name, error.strerror or str(error)) from None
    finally:
        os.close(descriptor)


def _decode_opened(image: PIL.Image.Image, data: bytes, name: str, max_pixels: int, background: Color) -> Image:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width} × {height} pixels", max_pixels)
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    notes = []
    if _FORMAT_OF.get(PurePath(name).suffix.lower(), kind) != kind:
        notes.append("the extension names another format; the content decides")
    if getattr(image, "is_animated", False):
        notes.append("the file holds several frames; the first is used")
    if _has_tail(data, kind):
        notes.append("bytes follow the end of the image; they are ignored")
    if kind == "JPEG" and image.mode in ("L", "RGB"):
        pixels = simplejpeg.decode_jpeg(data, strict=True)
    else:
        pixels = _to_rgb(image, name, background)
    return Image(pixels=_upright(pixels, image.getexif().get(_ORIENTATION, 1)), notes=tuple(notes))


def _has_tail(data: bytes, kind: str) -> bool:
    """Whether something follows the image; on the way checks every checksum of a PNG, which Pillow does not."""
    if kind == "JPEG":
        return not data.rstrip(b"\0").endswith(b"\xff\xd9")
    return kind == "PNG" and _png_end(memoryview(data)) < len(data)


def _png_end(data: memoryview) -> int:
    """Where the IEND chunk ends; raises struct.error when there is none, ValueError on a wrong checksum."""
    offset = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, offset)
        (checksum,) = struct.unpack_from(">I", data, offset + 8 + length)
        if zlib.crc32(data[offset + 4 : offset + 8 + length]) != checksum:
            raise ValueError(f"wrong checksum of chunk {kind!r}")
        offset += 12 + length
        if kind == b"IEND":
            return int(offset)


def _to_rgb(image: PIL.Image.Image, name: str, background: Color) -> Pixels:
    """Decode by Pillow whatever mode the file has."""
    if image.mode in ("I", "F"):
        raise _refusal(name, f"{'32-bit integer' if image.mode == 'I' else 'floating-point'} pixels")
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        canvas = PIL.Image.new("RGBA", image.size, (*background, 255))
        canvas.alpha_composite(image.convert("RGBA"))
        return np.asarray(canvas.convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the rotation or mirroring that the EXIF tag `orientation` (1 to 8) declares."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _crop(pixels: Pixels, box: Box, margin: float, name: str) -> Pixels:
    """The part of `pixels` inside `box`, widened by `margin` of its sides and clipped to the image."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    across, down = margin * (right - left), margin * (bottom - top)
    edges = (left - across, top - down, right + across, bottom + down)
    if all(math.isfinite(edge) for edge in edges) and left < right and top < bottom:
        x0, y0 = max(0, math.floor(edges[0])), max(0, math.floor(edges[1]))
        x1, y1 = min(width, math.ceil(edges[2])), min(height, math.ceil(edges[3]))
        if x0 < x1 and y0 < y1:
            return pixels[y0:y1, x0:x1]
    raise DataError(
        fault(
            f"{name}: the box holds no pixel",
            got=box,
            expected=f"left < right and top < bottom inside {width} × {height}",
            remedy="mend the box, or set data.on_bad=drop",
        )
    )


def _status(path: Path, name: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise _refusal(name, error.strerror or str(error)) from None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns


def _refusal(name: str, got: str) -> DataError:
    return DataError(
        fault(
            f"{name} cannot be read as an image",
            got=got,
            expected="an undamaged JPEG, PNG, WebP, BMP, GIF or TIFF",
            remedy="mend or remove the file, or set data.on_bad=drop",
        )
    )


def _too_large(name: str, got: str, max_pixels: int) -> DataError:
    return DataError(
        fault(
            f"{name} is too large",
            got=got,
            expected=f"at most {max_pixels:,} pixels",
            remedy="shrink the image, raise data.max_pixels, or set data.on_bad=drop",
        )
    )
