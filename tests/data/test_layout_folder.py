import os
import sys
from urllib.parse import unquote

import pytest

from finegrain.data.folder import ImageFolder, class_folder
from finegrain.errors import DataError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def table(root):
    return ImageFolder(root=str(root)).table()


def rows(root):
    read = table(root)
    return [(sample.path, read.class_names[sample.label], sample.split) for sample in read.samples]


def refusal(root):
    with pytest.raises(DataError) as caught:
        table(root)
    return str(caught.value)


def test_flat_classes_have_no_split(tmp_path):
    touch(tmp_path, "wren/1.jpg", "robin/b.PNG", "robin/deep/a.jpeg")
    expected = [("robin/b.PNG", "robin", None), ("robin/deep/a.jpeg", "robin", None), ("wren/1.jpg", "wren", None)]
    assert rows(tmp_path) == expected


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_split_folders(tmp_path, validation):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", f"{validation}/a/2.jpg", "test/b/3.jpg")
    assert {split for _, _, split in rows(tmp_path)} == {"train", "val", "test"}
    assert (f"{validation}/a/2.jpg", "a", "val") in rows(tmp_path)


def test_classes_are_ordered_by_code_point(tmp_path):
    touch(tmp_path, "b/1.jpg", "B2/1.jpg", "é/1.jpg", "10/1.jpg", "2/1.jpg", "🐦 100%/1 %20.jpg")
    assert table(tmp_path).class_names == ("10", "2", "B2", "b", "é", "🐦 100%")


def test_any_class_gets_a_folder_that_is_read_back(tmp_path):
    plain = ("wren", "Boeing 737-200", "🐦 100%", "-rf", "~", "$HOME", "_x", "a.b")
    odd = {
        "F-16A/B": "F-16A%2FB", "..": "%2E.", ".": "%2E", "../x": "%2E.%2Fx", "/etc": "%2Fetc", "C:\\x": "C:%5Cx",
        ".git": "%2Egit", "__pycache__": "%5F_pycache__", "train": "%74rain", "Valid": "%56alid",
        "thumbs.db": "%74humbs.db", "%2F": "%252F", "a\0b": "a%00b", "a\nb": "a%0Ab", "%\n": "%%0A",
        "\udcff": "%ED%B3%BF",
    }  # fmt: skip
    assert [class_folder(name) for name in plain] == list(plain)
    assert {name: class_folder(name) for name in odd} == odd
    assert all(unquote(folder, errors="surrogatepass") == name for name, folder in odd.items())
    names = {*plain, *odd.values()}
    touch(tmp_path, *(f"{name}/1.png" for name in names))
    read = table(tmp_path)
    assert set(read.class_names) == names
    assert len(read.samples) == len(names)
    assert read.notes == ()


def test_hidden_and_system_entries_are_no_classes(tmp_path):
    junk = [".ipynb_checkpoints/x.jpg", "__MACOSX/x.jpg", "Thumbs.db", ".DS_Store", "a/._1.jpg", "a/Thumbs.db"]
    touch(tmp_path, "a/1.jpg", "b/1.jpg", *junk)
    read = table(tmp_path)
    assert read.class_names == ("a", "b")
    assert len(read.samples) == 2
    assert all(name in read.notes[0] for name in (".ipynb_checkpoints", "__MACOSX", "Thumbs.db (2)", ".DS_Store"))


def test_files_that_are_no_images_are_noted_by_suffix(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/1.txt", "b/2.txt", "readme.md")
    (note,) = table(tmp_path).notes
    assert "*.txt (2)" in note
    assert "root/*.md (1)" in note


def test_what_lies_beside_the_splits_is_noted(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "extra/c/1.jpg", "readme.md")
    read = table(tmp_path)
    assert len(read.samples) == 2
    assert read.notes == ("Passed over entries that are no images of a class: extra (1), readme.md (1).",)


def test_whatever_is_named_like_an_image_is_a_row(tmp_path):
    """The decoder refuses what is none: nothing is passed over in silence."""
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "b/phone.heic")
    (tmp_path / "a/folder.jpg").mkdir()
    os.mkfifo(tmp_path / "a/pipe.jpg")
    (tmp_path / "a/link.jpg").symlink_to("/etc/hostname")
    paths = {path for path, _, _ in rows(tmp_path)}
    assert paths >= {"a/folder.jpg", "a/pipe.jpg", "a/link.jpg", "b/phone.heic"}


def test_a_link_back_up_ends(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    assert len(rows(tmp_path)) <= 3


def test_composed_and_decomposed_class_names_meet(tmp_path):
    touch(tmp_path, "train/caf\u00e9/1.jpg", "train/b/1.jpg", "test/cafe\u0301/2.jpg")
    assert table(tmp_path).class_names == ("b", "caf\u00e9")


def test_every_fault_is_listed_at_once(tmp_path):
    touch(tmp_path, "train/Robin/1.jpg", "train/robin/1.jpg", "test/unknown/1.jpg", "val/readme.md")
    (tmp_path / "train/empty").mkdir()
    message = refusal(tmp_path)
    assert "empty class: got train/empty" in message
    assert "classes alike: got ['Robin', 'robin']" in message
    assert "class not in train: got unknown" in message
    assert "empty split: got val" in message
    assert "(4 faults)" in message


def test_one_class_is_refused(tmp_path):
    touch(tmp_path, "only/1.jpg", "only/2.jpg")
    assert "too few classes: got ['only']" in refusal(tmp_path)


def test_an_empty_root_is_refused(tmp_path):
    assert "too few classes" in refusal(tmp_path)


def test_two_folders_of_one_class_are_refused(tmp_path):
    touch(tmp_path, "caf\u00e9/1.jpg", "cafe\u0301/1.jpg", "b/1.jpg")
    if len(os.listdir(tmp_path)) < 3:
        pytest.skip("this file system composes names")
    assert "two folders of one class" in refusal(tmp_path)


def test_a_test_split_without_train_is_refused(tmp_path):
    touch(tmp_path, "test/a/1.jpg", "test/b/1.jpg")
    assert refusal(tmp_path).count("class not in train") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_names_that_are_not_utf8_are_refused(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / os.fsdecode(b"a/\xff.jpg")).touch()
    message = refusal(tmp_path)
    assert "name is not UTF-8: got a/\\udcff.jpg" in message
    message.encode("utf-8")


def test_a_missing_root_says_how_it_must_lie(tmp_path):
    message = refusal(tmp_path / "nowhere")
    assert "no such root" in message
    assert "train/<class>/*.jpg" in message
    assert "data.root" in message


def test_a_file_as_root_is_refused(tmp_path):
    touch(tmp_path, "birds.zip")
    assert "birds.zip" in refusal(tmp_path / "birds.zip")
