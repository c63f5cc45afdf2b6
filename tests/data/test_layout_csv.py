import pytest

from finegrain.data.csv_list import CsvList
from finegrain.errors import DataError

IMAGES = ("img/a.jpg", "img/b.jpg", "img/c, d.jpg")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "img").mkdir()
    for path in IMAGES:
        (tmp_path / path).touch()
    return tmp_path


def read(root, text, *, file="labels.csv", **options):
    (root / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvList(root=str(root), file=file, **options).table()


def refusal(root, text, **options):
    with pytest.raises(DataError) as caught:
        read(root, text, **options)
    return str(caught.value)


def test_all_columns(root):
    text = "path,label,split,group,left,top,right,bottom,extra\n"
    text += "img/a.jpg,wren,train,nest 1,1,2,3.5,4,x\nimg/b.jpg,robin,valid,,,,,,\n"
    table = read(root, text)
    first, second = table.samples
    assert table.class_names == ("robin", "wren")
    assert (first.path, first.label, first.split, first.group, first.box) == (
        "img/a.jpg", 1, "train", "nest 1", (1.0, 2.0, 3.5, 4.0),
    )  # fmt: skip
    assert (second.label, second.split, second.group, second.box) == (0, "val", None, None)


def test_byte_order_mark_carriage_returns_and_quoted_commas(root):
    table = read(root, b'\xef\xbb\xbfpath,label\r\n"img/c, d.jpg","wren, winter"\r\n./img//a.jpg,7\r\n')
    assert [s.path for s in table.samples] == ["img/c, d.jpg", "img/a.jpg"]
    assert table.class_names == ("7", "wren, winter")


def test_tabs(root):
    table = read(root, "label\tpath\nx\timg/c, d.jpg\ny\timg/a.jpg\n", file="list.tsv")
    assert [s.path for s in table.samples] == ["img/c, d.jpg", "img/a.jpg"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "img/../../secret.jpg",
        "/etc/passwd",
        "~/a.jpg",
        "$HOME/a.jpg",
        "file:///etc/passwd",
        "http://169.254.169.254/a.jpg",
        "//server/share/a.jpg",
        r"\\server\share\a.jpg",
        r"img\a.jpg",
        "C:/a.jpg",
        ".",
    ],
)
def test_paths_out_of_the_root_are_refused(root, path):
    message = refusal(root, f"path,label\nimg/a.jpg,x\nimg/b.jpg,y\n{path},x\n")
    assert message.startswith("labels.csv row 4: ")
    assert path in message


@pytest.mark.parametrize("label", ["", " ", "nan", "NaN", "-1", "3.0", "0.5", "1e.5", "2."])
def test_labels_that_are_no_names_are_refused(root, label):
    text = f'path,label\nimg/a.jpg,x\nimg/b.jpg,y\n"img/c, d.jpg",{label}\n'
    if label == "1e.5":
        assert "1e.5" in read(root, text).class_names
    else:
        assert "labels.csv row 4: not a class" in refusal(root, text)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("img/a.jpg,x,train\n\nimg/b.jpg,y,train", "labels.csv row 3: empty row"),
        ("img/a.jpg,x,train\n,,\nimg/b.jpg,y,train", "labels.csv row 3: empty row"),
        ("img/a.jpg,x,train\nimg/b.jpg,y", "labels.csv row 3: wrong number of cells"),
        ("img/a.jpg,x,train\nimg/c, d.jpg,y,train", "labels.csv row 3: wrong number of cells"),
        ("img/a.jpg,x,train\nimg/b.jpg,y,", "labels.csv row 3: no such split"),
        ("img/a.jpg,x,train\nimg/b.jpg,y,train\n./img/a.jpg,x,train", "row 4: duplicate path: got img/a.jpg"),
        ("img/a.jpg,x,train\nimg/b.jpg,y,train\nimg/a.jpg,y,train", "row 4: conflicting rows for one path"),
        ("img/a.jpg,x,train\nimg/b.jpg,x,train", "too few classes"),
        ("img/a.jpg,Wren,train\nimg/b.jpg,wren,train", "classes alike"),
        ("img/a.jpg,x,train\nimg/gone.jpg,y,train", "labels.csv row 3: no such file: got img/gone.jpg"),
        ("", "too few classes"),
    ],
)
def test_bad_rows_are_refused_with_their_number(root, rows, expected):
    assert expected in refusal(root, f"path,label,split\n{rows}\n")


def test_at_most_twenty_faults_are_shown_with_the_total(root):
    rows = "".join(f"gone{number}.jpg,{number % 2}\n" for number in range(30))
    message = refusal(root, f"path,label\n{rows}")
    assert "(30 faults)" in message
    assert message.count("no such file") == 20
    assert "... and 10 more" in message


@pytest.mark.parametrize("box", ["1,2,3,", "3,2,1,4", "1,2,nan,4", "a,b,c,d", "1,1,1,1"])
def test_boxes_that_are_none_are_refused(root, box):
    text = f"path,label,left,top,right,bottom\nimg/a.jpg,x,,,,\nimg/b.jpg,y,{box}\n"
    assert "labels.csv row 3: not a box" in refusal(root, text)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("file,label", "columns path are missing"),
        ("path,class", "columns label are missing"),
        ("path,label,left,top", "columns right, bottom are missing"),
        ("path,label,label", "a column comes twice"),
        ("", "columns path, label are missing"),
    ],
)
def test_bad_headers_are_refused(root, header, expected):
    assert expected in refusal(root, f"{header}\nimg/a.jpg,x\n")


def test_cropping_needs_boxes(root):
    assert "left, top, right, bottom are missing" in refusal(root, "path,label\nimg/a.jpg,x\n", box_margin=0.1)


@pytest.mark.parametrize("text", [b"path,label\n\xff,x\n", "path,label\n".encode("utf-16"), b'path,label\n"open,x\n'])
def test_files_that_are_no_table_are_refused(root, text):
    assert "labels.csv cannot be read" in refusal(root, text)


def test_a_missing_list_says_how_it_must_look(tmp_path):
    with pytest.raises(DataError, match="the root holds no labels") as caught:
        CsvList(root=str(tmp_path)).table()
    assert "class name" in str(caught.value)
