"""The decoder accepts what it should with the right pixels, and refuses the rest with one error type."""

import io
import os
import pickle

import numpy as np
import PIL.ImageFile
import pytest
from image_corpus import (
    JPEG,
    PNG,
    REFUSED,
    animated,
    bad_profile,
    encode,
    frames,
    grey16,
    palette,
    photo,
    png_claiming,
    with_orientation,
)
from PIL import Image as PillowImage
from PIL import ImageOps

from finegrain.data.base import Sample
from finegrain.data.image import FileSource, Image, decode, read_image
from finegrain.errors import DataError

LIMIT = 50_000_000


def read(data: bytes, name: str = "x.jpg") -> Image:
    return decode(data, name, max_pixels=LIMIT)


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_refuses(name, tmp_path):
    (tmp_path / name).write_bytes(REFUSED[name]())
    with pytest.raises(DataError, match=f"{name}.*; expected .*; .*on_bad=drop"):
        read_image(tmp_path / name, max_pixels=LIMIT)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_pixels_equal_pillows(options, mode):
    data = encode(PillowImage.fromarray(photo(61, 83)).convert(mode), "JPEG", **options)
    image = read(data)
    assert image.pixels.dtype == np.uint8
    assert np.array_equal(image.pixels, pillow(data))
    assert image.notes == ()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_lossless_formats_return_what_was_saved(kind):
    data = encode(photo(), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(read(data, f"x.{kind.lower()}").pixels, photo())


def test_the_content_decides_over_the_extension():
    for data, name in ((PNG, "x.jpg"), (JPEG, "x.png")):
        image = read(data, name)
        assert np.array_equal(image.pixels, pillow(data))
        assert image.notes == ("the extension names another format; the content decides",)
    assert read(JPEG, "x").notes == read(JPEG, "x.JPEG").notes == ()


@pytest.mark.parametrize("data", [JPEG, PNG])
def test_bytes_after_the_image_are_noted(data):
    image = read(data + b"PK\3\4" + bytes(range(200)), "x.png" if data is PNG else "x.jpg")
    assert np.array_equal(image.pixels, pillow(data))
    assert image.notes == ("bytes follow the end of the image; they are ignored",)


def test_cmyk_jpeg():
    cmyk = PillowImage.fromarray(photo()).convert("CMYK")
    data = encode(cmyk, "JPEG", quality=100, subsampling=0)
    ink = np.asarray(PillowImage.open(io.BytesIO(data))).astype(float)
    expected = (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255
    assert np.abs(read(data).pixels - expected).max() <= 2


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_grey_of_16_bits_keeps_its_high_byte(kind, order):
    data = encode(PillowImage.fromarray(grey16().astype(order)), kind)
    pixels = read(data, f"x.{kind.lower()}").pixels
    assert np.array_equal(pixels, np.repeat((grey16() >> 8)[..., None], 3, axis=2))


def test_transparency_is_composited_on_the_background():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], dtype=np.uint8)
    data = encode(rgba, "PNG")
    assert read(data, "x.png").pixels.tolist() == [[[200, 100, 0], [255, 255, 255], [244, 224, 204]]]
    on_black = decode(data, "x.png", max_pixels=LIMIT, background=(0, 0, 0))
    assert on_black.pixels.tolist() == [[[200, 100, 0], [0, 0, 0], [40, 20, 0]]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (palette(transparent=False), [[250, 0, 0], [0, 250, 0], [0, 0, 250]]),
        (palette(transparent=True), [[250, 0, 0], [255, 255, 255], [0, 0, 250]]),
        (encode(np.array([[[80, 255], [80, 0]]], dtype=np.uint8), "PNG"), [[80, 80, 80], [255, 255, 255]]),
        (encode(PillowImage.fromarray(np.array([[True, False]])), "PNG"), [[255, 255, 255], [0, 0, 0]]),
    ],
    ids=["palette", "palette with transparency", "grey with alpha", "1 bit"],
)
def test_golden_pixels(data, expected):
    assert read(data, "x.png").pixels.tolist() == [expected]


@pytest.mark.parametrize(("kind", "tolerance"), [("GIF", 0), ("WEBP", 0), ("PNG", 0), ("MPO", 8)])
def test_of_several_frames_the_first_is_used(kind, tolerance):
    data = animated(kind, **({"lossless": True} if kind == "WEBP" else {}))
    image = read(data, "x.jpg" if kind == "MPO" else f"x.{kind.lower()}")
    assert np.abs(image.pixels.astype(int) - np.asarray(frames()[0])).max() <= tolerance
    assert "the file holds several frames; the first is used" in image.notes


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied_once(value, kind):
    data = with_orientation(value, kind)
    expected = ImageOps.exif_transpose(PillowImage.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(read(data, f"x.{kind.lower()}").pixels, np.asarray(expected))
    assert expected.size == ((64, 96) if value > 4 else (96, 64))


def test_orientation_6_turns_clockwise():
    upright = read(with_orientation(6, "PNG"), "x.png").pixels
    assert np.array_equal(upright, np.rot90(photo(), k=-1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (20000, 1)])
def test_extreme_shapes(shape):
    pixels = np.full((*shape, 3), 7, dtype=np.uint8)
    assert np.array_equal(read(encode(pixels, "PNG"), "x.png").pixels, pixels)


def test_a_bad_colour_profile_does_no_harm():
    assert np.array_equal(read(bad_profile(), "x.png").pixels, photo())


@pytest.mark.parametrize("size", [(13_000, 13_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_large_image_is_refused_before_decoding(size, monkeypatch):
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"too large: got \d+ × \d+ pixels; expected at most 50,000,000"):
        read(png_claiming(*size), "x.png")


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "x.bmp"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="too large: got a file of 1,099,511,627,776 bytes"):
        read_image(path, max_pixels=LIMIT)


def test_what_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name in ("folder.jpg", "pipe.jpg", "dangling.jpg", "loop.jpg", "missing.jpg", "nul\0.jpg"):
        with pytest.raises(DataError, match="cannot be read as an image"):
            read_image(tmp_path / name, max_pixels=LIMIT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "x.jpg").write_bytes(JPEG)
    (tmp_path / "x.jpg").chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        read_image(tmp_path / "x.jpg", max_pixels=LIMIT)


@pytest.fixture
def source(tmp_path) -> FileSource:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(PNG)
    return FileSource(tmp_path / "set", LIMIT)


def test_source_reads_below_its_root(source):
    assert np.array_equal(source.read(Sample(path="a.png", label=0)), photo())
    (source.root / "link.png").symlink_to("a.png")
    assert np.array_equal(source.read(Sample(path="link.png", label=0)), photo())


@pytest.mark.parametrize(
    "path", ["../outside.png", "/etc/passwd", "link.png", "folder/outside.png", "~/x.png", "file:///etc/passwd", "a\0"]
)
def test_source_refuses_what_leaves_its_root(source, tmp_path, path):
    (tmp_path / "outside.png").write_bytes(PNG)
    (source.root / "link.png").symlink_to(tmp_path / "outside.png")
    (source.root / "folder").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"leads out of the dataset|cannot be read"):
        source.read(Sample(path=path, label=0))


def test_source_refuses_a_file_that_changed_since(source):
    sample = Sample(path="a.png", label=0)
    source.read(sample)
    copy = pickle.loads(pickle.dumps(source))
    (source.root / "a.png").write_bytes(encode(photo(32, 32), "PNG"))
    for reader in (source, copy):
        with pytest.raises(DataError, match=r"a\.png was replaced"):
            reader.read(sample)
    (source.root / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: got No such file"):
        source.read(sample)


def test_source_collects_notes(source):
    (source.root / "b.jpg").write_bytes(PNG)
    source.read(Sample(path="a.png", label=0))
    source.read(Sample(path="b.jpg", label=0))
    assert list(source.notes()) == ["b.jpg"]


@pytest.mark.parametrize(
    ("margin", "box", "expected"),
    [
        (None, (10, 20, 30, 40), (0, 0, 96, 64)),
        (0.0, (10, 20, 30, 40), (10, 20, 30, 40)),
        (0.0, (10.5, 20.5, 30.5, 40.5), (10, 20, 31, 41)),
        (0.1, (10, 20, 30, 40), (8, 18, 32, 42)),
        (1.0, (10, 20, 90, 60), (0, 0, 96, 64)),
        (0.0, (10, 20, 10.2, 20.1), (10, 20, 11, 21)),
        (0.0, None, (0, 0, 96, 64)),
    ],
)
def test_box_crop(source, margin, box, expected):
    source.box_margin = margin
    left, top, right, bottom = expected
    pixels = source.read(Sample(path="a.png", label=0, box=box))
    assert np.array_equal(pixels, photo()[top:bottom, left:right])


@pytest.mark.parametrize("box", [(30, 20, 10, 40), (10, 20, 10, 40), (200, 0, 300, 9), (float("nan"), 0, 9, 9)])
def test_a_box_without_pixels_is_refused(source, box):
    source.box_margin = 0.1
    with pytest.raises(DataError, match=r"a\.png: the box holds no pixel"):
        source.read(Sample(path="a.png", label=0, box=box))


def test_fingerprint_changes_with_all_that_changes_pixels(source):
    sample = Sample(path="a.png", label=0, box=(0, 0, 5, 5))
    first = source.fingerprint(sample)
    assert source.fingerprint(Sample(path="a.png", label=9, box=(0, 0, 5, 5))) == first
    others = [source.fingerprint(Sample(path="a.png", label=0))]
    source.box_margin = 0.1
    others.append(source.fingerprint(sample))
    source.box_margin, source.background = None, (0, 0, 0)
    others.append(source.fingerprint(sample))
    os.utime(source.root / "a.png", ns=(0, 1))
    others.append(source.fingerprint(sample))
    assert len({first, *others}) == 5


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_raise_nothing_but_data_errors():
    fuzz(300)


def fuzz(rounds: int, seed: int = 0) -> int:
    """Decode `rounds` mutated files; return how many were refused."""
    rng = np.random.default_rng(seed)
    seeds = [JPEG, PNG, with_orientation(6), palette(transparent=True), animated("GIF"), animated("WEBP")]
    seeds += [encode(photo(), kind) for kind in ("BMP", "TIFF", "WEBP", "GIF")]
    seeds += [encode(photo(), "TIFF", compression=way) for way in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")]
    refused = 0
    for _ in range(rounds):
        data = bytearray(seeds[rng.integers(len(seeds))])
        reach = len(data) if rng.random() < 0.5 else min(len(data), 200)
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(reach)] = rng.integers(256)
        if rng.random() < 0.2:
            del data[rng.integers(len(data)) :]
        try:
            pixels = decode(bytes(data), "x", max_pixels=1_000_000).pixels
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
        except DataError:
            refused += 1
    return refused
