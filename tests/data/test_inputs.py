"""What one word can name: a file, a folder, a pattern, a list; and what it cannot."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from finegrain.data.base import Sample
from finegrain.data.inputs import AnyFiles, find_images
from finegrain.errors import DataError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: two images in a folder, one deeper, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "deeper").mkdir(parents=True)
    for name in ("photos/b.png", "photos/a.JPG", "photos/deeper/c.webp"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "photos" / "notes.md").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("photos/b.png", ["photos/b.png"]),
        ("photos/notes.md", ["photos/notes.md"]),
        ("photos", ["photos/a.JPG", "photos/b.png", "photos/deeper/c.webp"]),
        ("photos/*", ["photos/a.JPG", "photos/b.png"]),
        ("photos/*.p?g", ["photos/b.png"]),
        ("photos/**/*", ["photos/a.JPG", "photos/b.png", "photos/deeper/c.webp"]),
    ],
)
def test_a_file_a_folder_and_a_pattern(home: Path, given: str, names: list[str]):
    assert find_images(given) == [Path(name) for name in names]


def test_a_name_with_brackets_is_a_name_if_it_is_there(home: Path):
    (home / "photos" / "a[1].png").write_bytes(b"")
    assert find_images("photos/a[1].png") == [Path("photos/a[1].png")]


def test_a_folder_is_walked_as_in_training(home: Path, monkeypatch: pytest.MonkeyPatch):
    """Hidden entries are passed over; links are followed once; photographs of refused formats are told of."""
    (home / "photos" / ".thumbnails").mkdir()
    for name in ("._a.jpg", ".thumbnails/a.jpg", "phone.HEIC", "notes.txt"):
        (home / "photos" / name).write_bytes(b"")
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "d.png").write_bytes(b"")
    (home / "photos" / "linked").symlink_to(home / "elsewhere")
    (home / "photos" / "loop").symlink_to(home / "photos")
    (home / "photos" / "broken.png").symlink_to(home / "nowhere")
    names = ["a.JPG", "b.png", "broken.png", "deeper/c.webp", "linked/d.png", "phone.HEIC"]
    assert find_images("photos") == [Path("photos", name) for name in names]
    assert Path("photos/phone.HEIC") in find_images("photos/*")

    def scandir(path: str) -> os.scandir:
        if path == "photos/deeper":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    assert Path("photos/deeper") in find_images("photos")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "b.png\n\ngone 1.jpg\n{home}/photos/a.JPG\nb.png\n"),
        ("list.TXT", "\ufeffb.png\r\ngone 1.jpg\r\n{home}/photos/a.JPG\r\nb.png"),
        ("list.csv", 'n,path\n1,b.png\n2,"gone 1.jpg"\n3,{home}/photos/a.JPG\n4,b.png\n5\n'),
        ("list.tsv", "path\tlabel\nb.png\tx\ngone 1.jpg\ty\n{home}/photos/a.JPG\tx\nb.png\tx\n"),
    ],
)
def test_a_list_is_read_in_its_order_from_where_it_lies(home: Path, name: str, text: str):
    (home / "photos" / name).write_text(text.format(home=home), encoding="utf-8")
    found = find_images(f"photos/{name}")
    assert found == [
        Path("photos/b.png"), Path("photos/gone 1.jpg"), home / "photos" / "a.JPG", Path("photos/b.png"),
    ]  # fmt: skip


def test_a_listed_name_need_not_be_utf8(home: Path):
    (home / "list.txt").write_bytes(b"wren\xff.png\n")
    assert find_images("list.txt") == [Path("wren\udcff.png")]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("https://example.org/a.jpg", "images is an address: got https"),
        ("FILE://a.jpg", "images is an address"),
        ("nowhere", "nowhere, which does not exist"),
        ("pipe.jpg", "pipe.jpg, which is no file"),
        ("empty", "empty, a folder without any"),
        ("photos/*.gif", r"photos/\*.gif, which names none"),
        ("empty.txt", "empty.txt, which names none"),
        ("wrong.csv", "wrong.csv is no list of images: got no column path"),
        ("odd.csv", "odd.csv is no list of images"),
    ],
)
def test_what_names_no_image_is_refused(home: Path, given: str, part: str):
    (home / "empty").mkdir()
    os.mkfifo(home / "pipe.jpg")
    (home / "empty.txt").write_text("\n \n")
    (home / "wrong.csv").write_text("file\na.jpg\n")
    (home / "odd.csv").write_text('path\n"a.jpg\n')
    with pytest.raises(DataError, match=part):
        find_images(given)


def test_pixels_are_read_wherever_the_file_lies(home: Path):
    source = AnyFiles(max_pixels=16)
    assert source.read(Sample(path="photos/b.png", label=0)).shape == (4, 4, 3)
    with pytest.raises(DataError, match="too large"):
        AnyFiles(max_pixels=15).read(Sample(path=str(home / "photos" / "b.png"), label=0))
