"""Image files with every fault and oddity that datasets hold, made on the fly for the tests."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, PngImagePlugin


def photo(height: int = 64, width: int = 96) -> np.ndarray:
    """Smooth colours with a little noise, uint8 [H, W, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], axis=-1)
    return np.clip(128 + 90 * waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encode(photo(), "JPEG", quality=90)
PROGRESSIVE = encode(photo(), "JPEG", quality=90, progressive=True)
PNG = encode(photo(), "PNG")


def overwrite(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


def random_bytes(count: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG with a sound header of this size and next to no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG[:8] + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    return PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (8 << 20))) + PNG[33:]


def frames(count: int = 3) -> list[Image.Image]:
    """Frames of one colour each, the first red."""
    colors = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
    return [Image.new("RGB", (20, 10), colors[i]) for i in range(count)]


def animated(kind: str, **options: object) -> bytes:
    first, *others = frames()
    return encode(first, kind, save_all=True, append_images=others, duration=100, **options)


def with_orientation(value: int, kind: str = "JPEG", **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encode(photo(), kind, exif=exif, **options)


def palette(*, transparent: bool) -> bytes:
    """The colours red, green and blue, one pixel each; the second is transparent on demand."""
    image = Image.new("P", (3, 1))
    image.putpalette([250, 0, 0, 0, 250, 0, 0, 0, 250])
    image.putdata([0, 1, 2])
    return encode(image, "PNG", **({"transparency": 1} if transparent else {}))


def grey16() -> np.ndarray:
    return np.linspace(0, 65535, 300, dtype=np.uint16).reshape(10, 30)


def bad_profile() -> bytes:
    return encode(photo(), "PNG", icc_profile=b"no profile at all" * 9)


def bad_checksum() -> bytes:
    return overwrite(PNG, PNG.index(b"IEND") + 4, b"\0\0\0\0")


def comment_checksum() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "hello")
    data = encode(photo(), "PNG", pnginfo=info)
    return data.replace(b"hello", b"jello")


REFUSED: dict[str, Callable[[], bytes]] = {
    "zero_bytes.jpg": lambda: b"",
    "one_byte.jpg": lambda: b"\xff",
    "text.jpg": lambda: b"not an image\n",
    "html.jpg": lambda: b"<!DOCTYPE html><title>404</title>",
    "svg.jpg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "truncated_5.jpg": lambda: JPEG[: len(JPEG) // 20],
    "truncated_50.jpg": lambda: JPEG[: len(JPEG) // 2],
    "truncated_95.jpg": lambda: JPEG[: len(JPEG) * 19 // 20],
    "no_end.jpg": lambda: JPEG[:-2],
    "progressive_60.jpg": lambda: PROGRESSIVE[: len(PROGRESSIVE) * 3 // 5],
    "damaged_middle.jpg": lambda: overwrite(JPEG, len(JPEG) // 2, random_bytes(40, seed=1)),
    "zeroed_tail.jpg": lambda: overwrite(JPEG, len(JPEG) * 2 // 3, bytes(len(JPEG) - len(JPEG) * 2 // 3)),
    "truncated_50.png": lambda: PNG[: len(PNG) // 2],
    "bad_checksum.png": bad_checksum,
    "bad_pixel_checksum.png": lambda: overwrite(PNG, PNG.index(b"IEND") - 8, b"\0\0\0\0"),
    "bad_comment_checksum.png": comment_checksum,
    "no_end.png": lambda: PNG[:-12],
    "float.tif": lambda: encode(np.random.default_rng(0).random((8, 8), dtype=np.float32), "TIFF"),
    "integer32.tif": lambda: encode(np.arange(64, dtype=np.int32).reshape(8, 8), "TIFF"),
    "huge_400_megapixels.png": lambda: png_claiming(20_000, 20_000),
    "huge_2_to_the_31.png": lambda: png_claiming(2**31 - 1, 2**31 - 1),
    "claims_9000_by_9000.png": lambda: png_claiming(9000, 9000),
    "claims_6000_by_6000.png": lambda: png_claiming(6000, 6000),
    "text_bomb.png": text_bomb,
    "truncated.webp": lambda: encode(photo(), "WEBP")[:-400],
    "truncated.bmp": lambda: encode(photo(), "BMP")[:-400],
    "truncated.gif": lambda: encode(photo(), "GIF")[:-400],
    "truncated.tif": lambda: encode(photo(), "TIFF")[:-400],
    "postscript.jpg": lambda: encode(photo(), "EPS"),
    "portable_document.jpg": lambda: encode(photo(), "PDF"),
    "fits.jpg": lambda: b"SIMPLE  =                    T".ljust(2880),
    "photoshop.jpg": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 96, 8, 3) + bytes(500),
}
