"""The official layouts on tiny trees, read once by the project and once by torchvision, which must agree."""

import json
import os

import numpy as np
import pytest
import torchvision.datasets
from scipy.io import savemat

from finegrain.data.aircraft import Aircraft
from finegrain.data.cars import Cars
from finegrain.data.dogs import Dogs
from finegrain.data.flowers import Flowers
from finegrain.data.food import Food101
from finegrain.data.pets import Pets
from finegrain.errors import DataError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def cells(*texts):
    column = np.empty((len(texts), 1), dtype=object)
    column[:, 0] = texts
    return column


def rows(table, split):
    return [(s.path, s.label) for s in table.samples if s.split == split]


def same(table, split, root, paths, labels):
    """Whether the split of the table is what torchvision read."""
    found = [(os.path.relpath(path, root), int(label)) for path, label in zip(paths, labels, strict=True)]
    return sorted(rows(table, split)) == sorted(found)


def refusal(config):
    with pytest.raises(DataError) as caught:
        config.table()
    return str(caught.value)


@pytest.fixture
def aircraft(tmp_path):
    data = tmp_path / "fgvc-aircraft-2013b/data"
    write(data, "variants.txt", "707-320\nBAE 146-200\n")
    write(data, "images_variant_train.txt", "1025794 707-320\n0000001 BAE 146-200\n")
    write(data, "images_variant_val.txt", "0000002 707-320\n")
    write(data, "images_variant_test.txt", "0000003 BAE 146-200\n")
    touch(data, *(f"images/{name}.jpg" for name in ("1025794", "0000001", "0000002", "0000003")))
    return tmp_path


@pytest.mark.parametrize("below", ["", "fgvc-aircraft-2013b", "fgvc-aircraft-2013b/data"])
def test_aircraft(aircraft, below):
    table = Aircraft(root=str(aircraft / below)).table()
    assert table.class_names == ("707-320", "BAE 146-200")
    assert rows(table, "train") == [("images/1025794.jpg", 0), ("images/0000001.jpg", 1)]
    for split in ("train", "val", "test"):
        theirs = torchvision.datasets.FGVCAircraft(aircraft, split=split)
        data = aircraft / "fgvc-aircraft-2013b/data"
        assert same(table, split, data, theirs._image_files, theirs._labels)


def test_aircraft_refuses_unknown_variants_and_overlap(aircraft):
    write(aircraft, "fgvc-aircraft-2013b/data/images_variant_val.txt", "0000002 Concorde\n1025794 707-320\n")
    message = refusal(Aircraft(root=str(aircraft)))
    assert "images_variant_val.txt row 1: no such class: got Concorde" in message
    assert "images_variant_val.txt row 2: conflicting rows for one path" in message


@pytest.fixture
def food(tmp_path):
    root = tmp_path / "food-101"
    write(root, "meta/classes.txt", "apple_pie\nwaffles\n")
    lists = {"train": {"apple_pie": ["apple_pie/1"], "waffles": ["waffles/1"]}, "test": {"apple_pie": ["apple_pie/2"]}}
    for split, classes in lists.items():
        classes = {"apple_pie": [], "waffles": [], **classes}
        write(root, f"meta/{split}.json", json.dumps(classes))
        write(root, f"meta/{split}.txt", "".join(f"{name}\n" for names in classes.values() for name in names))
    touch(root, *(f"images/{name}.jpg" for name in ("apple_pie/1", "waffles/1", "apple_pie/2")))
    return tmp_path


def test_food(food):
    table = Food101(root=str(food)).table()
    for split in ("train", "test"):
        theirs = torchvision.datasets.Food101(food, split=split)
        assert same(table, split, food / "food-101", theirs._image_files, theirs._labels)
        assert table.class_names == tuple(theirs.classes)


def test_food_refuses_paths_out_of_the_root(food):
    write(food, "food-101/meta/test.txt", "apple_pie/../../../secret\n")
    assert "meta/test.txt row 1: a path outside the root" in refusal(Food101(root=str(food)))


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "oxford-iiit-pet"
    write(root, "annotations/trainval.txt", "# Image CLASS-ID\nAbyssinian_1 1 1 1\nstaffie_dog_2 2 2 1\n")
    write(root, "annotations/test.txt", "staffie_dog_3 2 2 1\nAbyssinian_4 1 1 1\n")
    touch(root, *(f"images/{name}.jpg" for name in ("Abyssinian_1", "staffie_dog_2", "staffie_dog_3", "Abyssinian_4")))
    return tmp_path


def test_pets(pets):
    table = Pets(root=str(pets)).table()
    assert table.class_names == ("Abyssinian", "Staffie Dog")
    theirs = torchvision.datasets.OxfordIIITPet(pets, split="test")
    assert table.class_names == tuple(theirs.classes)
    assert same(table, "test", pets / "oxford-iiit-pet", theirs._images, theirs._labels)
    assert rows(table, "train") == [("images/Abyssinian_1.jpg", 0), ("images/staffie_dog_2.jpg", 1)]


def test_pets_refuses_bad_rows(pets):
    write(pets, "oxford-iiit-pet/annotations/test.txt", "staffie_dog_3 1 2 1\nAbyssinian_4 x 1 1\nlonely\n")
    message = refusal(Pets(root=str(pets)))
    assert "annotations/test.txt row 1: two names of class id 1: got Staffie Dog; expected Abyssinian" in message
    assert "annotations/test.txt row 2: no such class id: got x" in message
    assert "annotations/test.txt row 3: no such class id" in message


def cars_annotations(path, *entries):
    columns = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    records = np.array([list(entries)], dtype=[(name, object) for name in columns])
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"annotations": records})


@pytest.fixture
def cars(tmp_path):
    root = tmp_path / "stanford_cars"
    train = [(1, 2, 30, 40, 2, "00001.jpg"), (1, 1, 5, 5, 1, "00002.jpg")]
    cars_annotations(root / "devkit/cars_train_annos.mat", *train)
    cars_annotations(root / "cars_test_annos_withlabels.mat", (1, 1, 5, 5, 2, "00001.jpg"))
    savemat(root / "devkit/cars_meta.mat", {"class_names": cells("AM General Hummer", "Acura RL").T})
    touch(root, "cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg")
    return tmp_path


def test_cars(cars):
    table = Cars(root=str(cars), box_margin=0.2).table()
    assert table.class_names == ("AM General Hummer", "Acura RL")
    assert table.samples[0].box == (0.0, 1.0, 30.0, 40.0)
    assert rows(table, "test") == [("cars_test/00001.jpg", 1)]
    paths, labels = zip(*torchvision.datasets.StanfordCars(cars, split="train")._samples, strict=True)
    assert same(table, "train", cars / "stanford_cars", paths, labels)
    assert table.source.box_margin == 0.2


def test_cars_refuses_bad_rows_and_damaged_lists(cars):
    labels = cars / "stanford_cars/cars_test_annos_withlabels.mat"
    cars_annotations(labels, (1, 1, 5, 5, 3, "00001.jpg"))
    assert "withlabels.mat row 1: no such class id: got 3" in refusal(Cars(root=str(cars)))
    labels.write_bytes(labels.read_bytes()[:200])
    assert "unreadable list" in refusal(Cars(root=str(cars)))
    savemat(labels, {"annotations": np.zeros((1, 1))})
    assert "unreadable list" in refusal(Cars(root=str(cars)))
    labels.unlink()
    assert "missing list" in refusal(Cars(root=str(cars)))


def dogs_list(path, names, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"file_list": cells(*names), "labels": np.array(labels, dtype=float).reshape(-1, 1)})


@pytest.mark.parametrize("folder", ["", "lists"])
def test_dogs(tmp_path, folder):
    train = ["n01-Chihuahua/n01_1.jpg", "n02-Japanese_spaniel/n02_1.jpg"]
    dogs_list(tmp_path / folder / "train_list.mat", train, [1, 2])
    dogs_list(tmp_path / folder / "test_list.mat", ["n02-Japanese_spaniel/n02_2.jpg"], [2])
    touch(tmp_path, *(f"Images/{path}" for path in [*train, "n02-Japanese_spaniel/n02_2.jpg"]))
    table = Dogs(root=str(tmp_path)).table()
    assert table.class_names == ("Chihuahua", "Japanese_spaniel")
    assert rows(table, "test") == [("Images/n02-Japanese_spaniel/n02_2.jpg", 1)]
    assert "ImageNet" in table.notes[0]


def test_dogs_refuses_fractions_and_unequal_columns(tmp_path):
    (tmp_path / "Images").mkdir()
    dogs_list(tmp_path / "train_list.mat", ["n01-A/1.jpg", "n02-B/1.jpg"], [1, 1.5])
    dogs_list(tmp_path / "test_list.mat", ["n02-B/2.jpg"], [2])
    assert "train_list.mat row 2: no such class id: got 1.5" in refusal(Dogs(root=str(tmp_path)))
    dogs_list(tmp_path / "test_list.mat", ["n02-B/2.jpg", "n02-B/3.jpg"], [2])
    assert "columns of different length" in refusal(Dogs(root=str(tmp_path)))


@pytest.fixture
def flowers(tmp_path):
    root = tmp_path / "flowers-102"
    root.mkdir()
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 102, 1, 2, 1, 2]], dtype=np.uint8)})
    savemat(root / "setid.mat", {"trnid": np.array([[1, 2]]), "valid": np.array([[3, 4]]), "tstid": np.array([[6, 5]])})
    touch(root, *(f"jpg/image_{number:05d}.jpg" for number in range(1, 7)))
    return tmp_path


def test_flowers(flowers, monkeypatch):
    table = Flowers(root=str(flowers)).table()
    assert len(table.class_names) == 102
    assert rows(table, "train") == [("jpg/image_00001.jpg", 0), ("jpg/image_00002.jpg", 101)]
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda self: True)
    for split in ("train", "val", "test"):
        theirs = torchvision.datasets.Flowers102(flowers, split=split)
        assert same(table, split, flowers / "flowers-102", theirs._image_files, theirs._labels)


def test_flowers_refuses_ids_and_labels_out_of_range(flowers):
    folder = flowers / "flowers-102"
    savemat(folder / "setid.mat", {"trnid": np.array([[1, 0]]), "valid": np.array([[3]]), "tstid": np.array([[7]])})
    savemat(folder / "imagelabels.mat", {"labels": np.array([[103, 102, 1, 2, 1, 2]])})
    message = refusal(Flowers(root=str(flowers)))
    assert "setid.mat trnid row 2: unknown image id: got 0; expected 1 to 6" in message
    assert "setid.mat tstid row 1: unknown image id: got 7" in message
    assert "imagelabels.mat row 1: no such class id: got 103" in message


@pytest.mark.parametrize("layout", [Aircraft, Cars, Dogs, Flowers, Food101, Pets])
def test_a_missing_root_says_where_to_get_it(layout, tmp_path):
    message = refusal(layout(root=str(tmp_path / "nowhere")))
    assert "no such root" in message
    assert "page of the dataset" in message
    assert "data.root" in message
    assert "the root holds no" in refusal(layout(root=str(tmp_path)))


def test_a_listed_file_that_is_missing_is_refused(aircraft):
    (aircraft / "fgvc-aircraft-2013b/data/images/0000003.jpg").unlink()
    assert "no such file: got images/0000003.jpg" in refusal(Aircraft(root=str(aircraft)))
