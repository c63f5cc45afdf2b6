"""SyntheticBirds as a dataset: its table, its source, its bad values, its export."""

import csv
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from finegrain.config import check
from finegrain.data.base import Sample
from finegrain.data.birds.photograph import render
from finegrain.data.birds.species import catalogue
from finegrain.data.synthetic import DrawnSource, SyntheticBirds, parse_path, write_folder
from finegrain.errors import ConfigError, DataError, OutputError


def small(**changes) -> SyntheticBirds:
    sizes = {"num_species": 4, "train_per_species": 3, "val_per_species": 1, "test_per_species": 2, "image_size": 32}
    return SyntheticBirds(**(sizes | changes))


def test_defaults_pass_the_check_and_need_no_root():
    check(SyntheticBirds())
    table = SyntheticBirds().table()
    assert len(table.class_names) == 16
    assert len(table.samples) == 16 * 50


def test_table_has_the_asked_splits_of_each_species():
    table = small().table()
    for label, name in enumerate(table.class_names):
        own = [s for s in table.samples if s.label == label]
        assert [s.split for s in own] == ["train"] * 3 + ["val"] + ["test"] * 2
        assert [s.path for s in own] == [f"target/{name}/{i:04d}.png" for i in range(6)]


def test_source_and_target_tables_share_no_image_or_class():
    source, target = SyntheticBirds(species="source").table(), SyntheticBirds().table()
    assert len(source.class_names) == 48
    assert not set(source.class_names) & set(target.class_names)
    assert not {s.path for s in source.samples} & {s.path for s in target.samples}


def test_fewer_species_are_the_first_of_all_genus_by_genus():
    assert small().table().class_names == SyntheticBirds().table().class_names[:4]


@pytest.mark.parametrize("keep", [True, False])
def test_source_reads_what_render_draws(keep):
    table = small(keep_drawn=keep, seed=5).table()
    sample = table.samples[8]
    expected = render(catalogue("target")[1], 2, seed=5, size=32).pixels
    for _ in range(2):
        np.testing.assert_array_equal(table.source.read(sample), expected)


def test_writing_into_a_read_image_harms_no_later_read():
    table = small().table()
    first = table.source.read(table.samples[0])
    kept = first.copy()
    first[:] = 0
    table.source.read(table.samples[0])[:] = 0
    np.testing.assert_array_equal(table.source.read(table.samples[0]), kept)


def test_a_pickled_source_draws_the_same():
    table = small().table()
    again = pickle.loads(pickle.dumps(table.source))
    np.testing.assert_array_equal(again.read(table.samples[3]), table.source.read(table.samples[3]))


def test_source_gives_the_boxes_of_the_pixels_it_reads():
    table = small().table()
    rendered = table.source.render(table.samples[0])
    np.testing.assert_array_equal(rendered.pixels, table.source.read(table.samples[0]))
    assert "eye" in rendered.parts


@pytest.mark.parametrize(
    "path",
    ["", "target/nobody/0001.png", "source/plain-winged_russet_sparrow/0001.png", "target/0001.png",
     "target/plain-winged_russet_sparrow/x.png", "target/plain-winged_russet_sparrow/-001.png"],
)  # fmt: skip
def test_a_path_that_names_no_bird_is_refused(path):
    source = DrawnSource(seed=0, size=32, keep=False)
    with pytest.raises(DataError, match=r"no such drawn bird.*expected <domain>/<species>/<number>.png"):
        source.read(Sample(path=path, label=0))


def test_parse_path_gives_species_and_index():
    species, index = parse_path("target/plain-winged_russet_sparrow/0012.png")
    assert (species.name, index) == ("plain-winged_russet_sparrow", 12)


def test_more_species_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="num_species is too large: got 17; expected at most 16 target species"):
        check(SyntheticBirds(num_species=17))
    with pytest.raises(ConfigError, match="num_species is too large"):
        SyntheticBirds(num_species=17).table()
    check(SyntheticBirds(species="source", num_species=17))


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_species", 1), ("train_per_species", 0), ("image_size", 8), ("seed", -1), ("species", "both")],
)
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"{field} is not allowed"):
        check(SyntheticBirds(**{field: value}))


def test_write_folder_is_an_image_folder_with_boxes_and_facts(tmp_path):
    config = small()
    write_folder(config, tmp_path / "birds")
    root, table = tmp_path / "birds", config.table()
    assert len(list(root.glob("*/*/*.png"))) == len(table.samples)
    sample = table.samples[4]
    written = f"{sample.split}/{sample.path.removeprefix('target/')}"
    np.testing.assert_array_equal(np.asarray(Image.open(root / written)), table.source.read(sample))
    with (root / "parts.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["path"] == written]
    boxes = {row["part"]: tuple(float(row[k]) for k in ("left", "top", "right", "bottom")) for row in rows}
    assert boxes == table.source.render(sample).parts


def test_write_folder_says_what_tells_species_apart(tmp_path):
    write_folder(small(train_per_species=1, test_per_species=1), tmp_path)
    facts = json.loads((tmp_path / "species.json").read_text())
    plain, barred = facts["plain-winged_russet_sparrow"], facts["bar-winged_russet_sparrow"]
    assert plain["told_apart_by"]["bar-winged_russet_sparrow"] == ["wing_bar"]
    assert (plain["traits"]["wing_bar"], barred["traits"]["wing_bar"]) == ("plain", "single")


def test_write_folder_refuses_a_folder_in_use_or_one_it_cannot_make(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="the folder is in use"):
        write_folder(small(), tmp_path)
    with pytest.raises(OutputError, match="cannot write the images"):
        write_folder(small(), tmp_path / "file" / "below")
