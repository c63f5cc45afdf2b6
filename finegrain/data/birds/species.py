"""The catalogue of drawn species: each genus shares shape and plumage, its species differ in one to three parts."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""
Domain = Literal["source", "target"]
Part = Literal["beak", "crown", "eye", "throat", "breast", "wing_bar", "tail"]
PARTS: tuple[Part, ...] = ("beak", "crown", "eye", "throat", "breast", "wing_bar", "tail")


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What each part of a species looks like; the field names are `PARTS`."""

    beak: Literal["stout", "short", "slender", "long", "decurved", "upturned"]
    crown: Literal["plain", "capped", "crested", "striped"]
    eye: Literal["plain", "ringed", "browed", "masked"]
    throat: Literal["plain", "bibbed", "pale", "collared"]
    breast: Literal["plain", "spotted", "streaked", "banded"]
    wing_bar: Literal["plain", "single", "double", "patch"]
    tail: Literal["square", "forked", "long", "tipped", "edged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plumage:
    """The colours that a whole genus wears."""

    name: str
    back: Colour
    wing: Colour
    belly: Colour
    accent: Colour
    """Caps, bibs and bands."""
    pale: Colour
    """Wing bars, rings and edges."""
    dark: Colour
    """Masks, streaks and spots."""
    beak: Colour
    leg: Colour


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """The body that a whole genus has, as factors of the common body or in its lengths."""

    plumpness: float
    head: float
    """Radius of the head in body lengths."""
    neck: float
    """Added reach of the head in body lengths."""
    leg: float
    """Visible leg in body lengths."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Species:
    """One class: a genus's body and plumage with its own parts."""

    name: str
    genus: str
    domain: Domain
    plumage: Plumage
    build: Build
    traits: Traits


def distinguishing_parts(first: Species, second: Species) -> tuple[Part, ...]:
    """The parts that tell two species apart; between genera all of them, because the plumage covers them all."""
    if first.genus != second.genus:
        return PARTS
    return tuple(part for part in PARTS if getattr(first.traits, part) != getattr(second.traits, part))


@functools.cache
def catalogue(domain: Domain) -> tuple[Species, ...]:
    """All species of a domain, genus by genus: 48 source species in 12 genera, 16 target species in 4."""
    return tuple(species for species in _all_species() if species.domain == domain)


@functools.cache
def _all_species() -> tuple[Species, ...]:
    rng = np.random.default_rng(_CATALOGUE_SEED)
    found: list[Species] = []
    for number, (domain, genus, plumage_name) in enumerate(_GENERA):
        build = _build(rng)
        varied = [PARTS[(number + step) % len(PARTS)] for step in (0, 2, 4)]  # each part varies in some target genus
        traits = _relatives(rng, varied, taken={species.traits for species in found})
        names = _names(traits, f"{plumage_name}_{genus}")
        plumage = next(p for p in _PLUMAGES if p.name == plumage_name)
        found.extend(
            Species(name=name, genus=genus, domain=domain, plumage=plumage, build=build, traits=own)
            for name, own in zip(names, traits, strict=True)
        )
    return tuple(found)


def _build(rng: np.random.Generator) -> Build:
    plumpness, head, neck, leg = rng.uniform((0.86, 0.175, 0.0, 0.10), (1.12, 0.215, 0.06, 0.22))
    return Build(plumpness=float(plumpness), head=float(head), neck=float(neck), leg=float(leg))


def _relatives(rng: np.random.Generator, varied: Sequence[Part], taken: set[Traits]) -> tuple[Traits, ...]:
    """Four species: a random one, and three that change its part a; b; a and c. Any two differ in 1 to 3 parts."""
    while True:
        base = {part: _choose(rng, part) for part in PARTS}
        a, b, c = ({part: _choose(rng, part, other_than=base[part])} for part in varied)
        family = tuple(Traits(**cast(dict[str, Any], base | change)) for change in ({}, a, b, a | c))
        if not taken.intersection(family):
            return family


def _choose(rng: np.random.Generator, part: Part, other_than: str | None = None) -> str:
    values = [value for value in _ADJECTIVES[part] if value != other_than]
    return values[int(rng.integers(len(values)))]


def _names(family: Sequence[Traits], common: str) -> list[str]:
    """Each species is named after a trait that few of its relatives share."""
    names: list[str] = []
    for own in family:
        shared = {part: sum(getattr(other, part) == getattr(own, part) for other in family) for part in PARTS}
        by_rarity = sorted(PARTS, key=shared.__getitem__)
        options = [f"{_ADJECTIVES[part][getattr(own, part)]}_{common}" for part in by_rarity]
        names.append(next(option for option in options if option not in names))
    return names


_CATALOGUE_SEED = 1758  # the year of Linnaeus's tenth edition

_ADJECTIVES: dict[Part, dict[str, str]] = {
    "beak": {
        "stout": "stout-billed",
        "short": "short-billed",
        "slender": "slender-billed",
        "long": "long-billed",
        "decurved": "curve-billed",
        "upturned": "upturn-billed",
    },
    "crown": {"plain": "smooth-crowned", "capped": "capped", "crested": "crested", "striped": "stripe-crowned"},
    "eye": {"plain": "plain-faced", "ringed": "spectacled", "browed": "browed", "masked": "masked"},
    "throat": {"plain": "plain-throated", "bibbed": "bibbed", "pale": "pale-throated", "collared": "collared"},
    "breast": {"plain": "plain-breasted", "spotted": "spotted", "streaked": "streaked", "banded": "breast-banded"},
    "wing_bar": {"plain": "plain-winged", "single": "bar-winged", "double": "double-barred", "patch": "patch-winged"},
    "tail": {
        "square": "square-tailed",
        "forked": "fork-tailed",
        "long": "long-tailed",
        "tipped": "tip-tailed",
        "edged": "edge-tailed",
    },
}

_GENERA: tuple[tuple[Domain, str, str], ...] = (
    ("source", "finch", "russet"),
    ("source", "warbler", "olive"),
    ("source", "bunting", "indigo"),
    ("source", "thrush", "umber"),
    ("source", "tit", "azure"),
    ("source", "flycatcher", "ash"),
    ("source", "tanager", "scarlet"),
    ("source", "wagtail", "slate"),
    ("source", "lark", "sand"),
    ("source", "vireo", "moss"),
    ("source", "oriole", "amber"),
    ("source", "redstart", "soot"),
    ("target", "sparrow", "russet"),
    ("target", "chat", "slate"),
    ("target", "robin", "rose"),
    ("target", "sunbird", "teal"),
)


def _plumage(name: str, colours: str) -> Plumage:
    back, wing, belly, accent, dark, beak, leg = (_colour(code) for code in colours.split())
    return Plumage(
        name=name,
        back=back,
        wing=wing,
        belly=belly,
        accent=accent,
        pale=_colour("f4f0e2"),
        dark=dark,
        beak=beak,
        leg=leg,
    )


def _colour(code: str) -> Colour:
    red, green, blue = bytes.fromhex(code)
    return red, green, blue


_PLUMAGES: tuple[Plumage, ...] = tuple(
    _plumage(name, colours)
    for name, colours in (
        # back, wing, belly, accent, dark, beak, leg
        ("russet", "a45c34 70442e e8cca8 7a2218 301c16 5c4a3e 966854"),
        ("olive", "7a863e 5c6438 e2d87a ecbe28 2e321a 544a3c 705c50"),
        ("indigo", "3a4ea4 2c366c 96a8d6 1a205c 141630 848894 464248"),
        ("umber", "745c46 624c3a eee2ca c86e30 3a2a20 80683c c49478"),
        ("azure", "548ec2 3c6a9e f6de78 204282 18223e 3a3c46 545e6e"),
        ("ash", "888682 646260 dcd6cc 3e3c3e 282628 2c2a2a 383432"),
        ("scarlet", "c42c24 5c2224 d8543a 32161a 241214 b09678 604c48"),
        ("slate", "5c6c7c 424e5c e4e4dc 22262e 1a1c22 28282e 343030"),
        ("sand", "bea478 9c805c f0e4c6 965c30 58422e 967e60 be9674"),
        ("moss", "607a54 4a5e46 dce2be 3c543c 242e22 566068 606a74"),
        ("amber", "e29822 3c322c f4be46 221c1a 1e1816 767a82 646870"),
        ("soot", "464244 323032 ce6c32 181618 161416 222022 2c2828"),
        ("rose", "96626c 684a56 f0a8a0 c63454 381e28 463c3e 785454"),
        ("teal", "207a76 1e545c cedeb0 6a2878 12242c 1e1e24 2e2c30"),
    )
)
