import pytest

from finegrain.data.cub import Cub
from finegrain.errors import DataError

FILES = {
    "classes.txt": "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
    "images.txt": "1 001.A/x.jpg\n2 001.A/y.jpg\n3 002.B/z 1.jpg\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n",
    "bounding_boxes.txt": "1 10.0 20.0 30.5 40.0\n2 1 1 2 2\n3 0 0 5 5\n",
}


def write(root, **changed):
    files = FILES | {f"{name}.txt": text for name, text in changed.items()}
    for name, text in files.items():
        root.mkdir(exist_ok=True)
        (root / name).write_text(text)
    for path in ("001.A/x.jpg", "001.A/y.jpg", "002.B/z 1.jpg"):
        (root / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / path).touch()
    return root


def refusal(root, **changed):
    with pytest.raises(DataError) as caught:
        Cub(root=str(write(root, **changed))).table()
    return str(caught.value)


@pytest.mark.parametrize("above", [False, True])
def test_the_official_lists(tmp_path, above):
    write(tmp_path / "CUB_200_2011")
    table = Cub(root=str(tmp_path if above else tmp_path / "CUB_200_2011")).table()
    assert table.class_names == ("Black_footed_Albatross", "Laysan_Albatross")
    assert [(s.path, s.label, s.split) for s in table.samples] == [
        ("images/001.A/x.jpg", 0, "train"),
        ("images/001.A/y.jpg", 0, "test"),
        ("images/002.B/z 1.jpg", 1, "train"),
    ]
    assert table.samples[0].box == (10.0, 20.0, 40.5, 60.0)


@pytest.mark.parametrize("margin", [None, 0.25])
def test_the_margin_reaches_the_source(tmp_path, margin):
    table = Cub(root=str(write(tmp_path)), box_margin=margin).table()
    assert table.source.box_margin == margin


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("image_class_labels", "1 1\n2 1\n", "image_class_labels.txt: missing id: got 3"),
        ("image_class_labels", "1 1\n2 1\n3 2\n3 1\n", "image_class_labels.txt row 4: duplicate id: got 3"),
        ("image_class_labels", "1 1\n2 1\n3 2\n4 1\n", "image_class_labels.txt row 4: unknown id: got 4"),
        (
            "image_class_labels",
            "1 1\n2 1\n3 3\n",
            "row 3: no such class id: got 3; expected a whole number from 1",
        ),
        ("image_class_labels", "1 1\n2 0\n3 2\n", "image_class_labels.txt row 2: no such class id: got 0"),
        ("image_class_labels", "1 1\n2 -1\n3 2\n", "row 2: no such class id: got -1"),
        ("image_class_labels", "1 1\n2 1.0\n3 2\n", "row 2: no such class id: got 1.0"),
        ("image_class_labels", "1 1\n2 nan\n3 2\n", "row 2: no such class id: got nan"),
        ("image_class_labels", "1 1\n\n2 1\n3 2\n", "image_class_labels.txt row 2: empty row"),
        ("image_class_labels", "0 1\n1 1\n2 1\n3 2\n", "row 1: not a numbered row"),
        ("image_class_labels", "x 1\n1 1\n2 1\n3 2\n", "row 1: not a numbered row"),
        ("train_test_split", "1 1\n2 2\n3 1\n", "train_test_split.txt row 2: no such split: got 2"),
        ("train_test_split", "1 1\n2 0\n", "train_test_split.txt: missing id: got 3"),
        ("bounding_boxes", "1 1 1 0 5\n2 1 1 2 2\n3 0 0 5 5\n", "bounding_boxes.txt row 1: not a box"),
        ("bounding_boxes", "1 1 1 nan 5\n2 1 1 2 2\n3 0 0 5 5\n", "bounding_boxes.txt row 1: not a box"),
        ("bounding_boxes", "1 1 1 5\n2 1 1 2 2\n3 0 0 5 5\n", "bounding_boxes.txt row 1: not a box"),
        ("images", "1 001.A/x.jpg\n2 001.A/y.jpg\n3 001.A/x.jpg\n", "images.txt id 3: conflicting rows for one path"),
        ("images", "1 001.A/x.jpg\n2 001.A/y.jpg\n3 ../../../etc/passwd\n", "id 3: a path outside the root"),
        ("images", "1 001.A/x.jpg\n2 001.A/y.jpg\n3 002.B/gone.jpg\n", "id 3: no such file"),
        ("images", "1 001.A/x.jpg\n1 001.A/y.jpg\n3 002.B/z 1.jpg\n", "images.txt row 2: duplicate id: got 1"),
        ("classes", "1 001.A\n3 003.B\n", "classes.txt: class ids with gaps: got [1, 3]"),
        ("classes", "1 001.A\n", "too few classes"),
        ("classes", "1 001.A\n2 002.a\n", "classes alike"),
    ],
)
def test_bad_rows_are_refused_with_their_number(tmp_path, name, text, expected):
    assert expected in refusal(tmp_path, **{name: text})


def test_faults_of_all_lists_come_together(tmp_path):
    message = refusal(tmp_path, image_class_labels="1 9\n2 1\n3 2\n", train_test_split="1 1\n2 7\n3 1\n")
    assert "(2 faults)" in message


def test_images_in_no_list_are_noted(tmp_path):
    (write(tmp_path) / "images/002.B/extra.jpg").touch()
    table = Cub(root=str(tmp_path)).table()
    assert len(table.samples) == 3
    assert table.notes == ("1 images below images/ are in no list and are not used.",)


def test_byte_order_mark_and_carriage_returns(tmp_path):
    write(tmp_path, images="\ufeff1 001.A/x.jpg\r\n2 001.A/y.jpg\r\n3 002.B/z 1.jpg\r\n")
    assert len(Cub(root=str(tmp_path)).table().samples) == 3


def test_a_list_that_is_not_utf8_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "images.txt").write_bytes(b"1 001.A/x.jpg\n2 001.A/\xff.jpg\n3 002.B/z 1.jpg\n")
    with pytest.raises(DataError, match="row 2: not UTF-8"):
        Cub(root=str(tmp_path)).table()


def test_a_missing_list_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "train_test_split.txt").unlink()
    with pytest.raises(DataError, match=r"missing list: got .*train_test_split.txt"):
        Cub(root=str(tmp_path)).table()


def test_a_missing_root_says_where_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"CUB_200_2011\.tgz"):
        Cub(root=str(tmp_path / "nowhere")).table()
