"""The catalogue: disjoint domains, genera of four near-identical species, every part used."""

import itertools
from dataclasses import asdict, fields

import pytest

from finegrain.data.birds.species import PARTS, Species, Traits, catalogue, distinguishing_parts


def genera(species: tuple[Species, ...]) -> list[list[Species]]:
    return [list(members) for _, members in itertools.groupby(species, key=lambda s: s.genus)]


def pairs() -> list[tuple[Species, Species]]:
    both = catalogue("source") + catalogue("target")
    return [pair for genus in genera(both) for pair in itertools.combinations(genus, 2)]


def test_source_and_target_share_no_species_genus_or_combination_of_traits():
    source, target = catalogue("source"), catalogue("target")
    assert (len(source), len(target)) == (48, 16)
    for key in ("name", "genus", "traits"):
        assert not {getattr(s, key) for s in source} & {getattr(s, key) for s in target}


def test_some_target_plumages_are_new_and_some_are_known():
    known = {s.plumage.name for s in catalogue("source")}
    worn = {s.plumage.name for s in catalogue("target")}
    assert worn & known
    assert worn - known


def test_names_and_traits_are_unique():
    both = catalogue("source") + catalogue("target")
    assert len({s.name for s in both}) == len({s.traits for s in both}) == 64


def test_genera_have_four_species_of_one_body_and_plumage():
    for genus in genera(catalogue("source") + catalogue("target")):
        assert len(genus) == 4
        assert len({s.plumage.name for s in genus}) == len({s.build for s in genus}) == 1


def test_two_species_of_a_genus_differ_in_one_to_three_parts():
    counts = {len(distinguishing_parts(a, b)) for a, b in pairs()}
    assert counts == {1, 2, 3}


def test_distinguishing_parts_are_the_traits_that_differ():
    for a, b in pairs():
        first, second = asdict(a.traits), asdict(b.traits)
        assert set(distinguishing_parts(a, b)) == {part for part in PARTS if first[part] != second[part]}
        assert distinguishing_parts(a, b) == distinguishing_parts(b, a)
        assert distinguishing_parts(a, a) == ()


def test_between_genera_every_part_tells():
    target = catalogue("target")
    assert distinguishing_parts(target[0], target[-1]) == PARTS


@pytest.mark.parametrize("domain", ["source", "target"])
def test_every_part_tells_some_species_apart(domain):
    told = {p for genus in genera(catalogue(domain)) for a in genus for b in genus for p in distinguishing_parts(a, b)}
    assert told == set(PARTS)


def test_traits_have_one_field_a_part():
    assert tuple(field.name for field in fields(Traits)) == PARTS


def test_a_name_says_something_true_of_its_species():
    (barred,) = (s for s in catalogue("target") if s.name == "bar-winged_russet_sparrow")
    assert barred.traits.wing_bar == "single"
    assert (barred.genus, barred.plumage.name) == ("sparrow", "russet")
