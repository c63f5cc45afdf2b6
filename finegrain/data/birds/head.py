"""Draws a bird's head: crest and beak, which lie behind the face, and throat, crown and face."""

import numpy as np

from finegrain.data.birds.canvas import Canvas, Frame, Points, blend, closed_curve, ellipse, leaf, open_curve, tone
from finegrain.data.birds.pose import CODE, HEAD, STEPS
from finegrain.data.birds.species import Species


def draw_crest(canvas: Canvas, species: Species, head: Frame) -> None:
    """The raised feathers of a crest, behind the head."""
    if species.traits.crown != "crested":
        return
    for base, tip, bright in (
        ((-0.50, -0.45), (-1.55, -1.15), 0.8),
        ((-0.30, -0.60), (-1.35, -1.55), 0.95),
        ((0.05, -0.65), (-0.95, -1.80), 1.1),
        ((0.45, -0.60), (-0.35, -1.62), 1.0),
    ):
        canvas.fill(head(leaf(base, tip, 0.52, 0.4)), tone(species.plumage.accent, bright), CODE["crown"])


def draw_crown(canvas: Canvas, species: Species, head: Frame, outline: Points) -> None:
    """The top of the head: cap, stripes, or the base of a crest."""
    part, plumage = CODE["crown"], species.plumage
    top = outline[STEPS : 5 * STEPS - 3]  # nape to forehead
    cap = np.concatenate((top, head(((0.45, -0.45), (-0.1, -0.42), (-0.6, -0.22)))))
    match species.traits.crown:
        case "plain":
            canvas.mark(cap, part)
        case "capped" | "crested":
            canvas.fill(cap, plumage.accent, part)
        case "striped":
            canvas.fill(cap, plumage.dark, part)
            stripe = open_curve(((-0.85, -0.38), (-0.40, -0.72), (0.15, -0.76), (0.66, -0.55)))
            canvas.stroke(head(stripe), plumage.pale, 0.17 * head.scale, part)


def draw_face(canvas: Canvas, species: Species, head: Frame) -> None:
    """Cheek, brow, mask or ring, and the eye."""
    part, plumage, trait = CODE["eye"], species.plumage, species.traits.eye
    cheek = blend(plumage.back, plumage.belly, 0.22)
    canvas.fill(head(ellipse(-0.15, 0.30, 0.48, 0.30)), cheek)
    canvas.mark(head(ellipse(*_EYE, 0.34, 0.34)), part)
    match trait:
        case "browed":
            brow = open_curve(((0.84, -0.26), (0.36, -0.46), (-0.15, -0.42), (-0.78, -0.08)))
            canvas.stroke(head(brow), plumage.pale, 0.19 * head.scale, part)
        case "masked":
            mask = (
                (0.98, -0.10),
                (0.55, -0.38),
                (0.05, -0.34),
                (-0.55, -0.10),
                (-0.72, 0.16),
                (-0.15, 0.20),
                (0.55, 0.16),
                (0.93, 0.16),
            )
            canvas.fill(head(closed_curve(mask)), plumage.dark, part)
        case "ringed":
            canvas.fill(head(ellipse(*_EYE, 0.31, 0.31)), plumage.pale, part)
        case "plain":
            pass
    canvas.fill(head(ellipse(*_EYE, 0.19, 0.19)), (26, 18, 14), part)
    x, y = _EYE
    canvas.fill(head(ellipse(x + 0.04, y - 0.08, 0.07, 0.07)), (250, 250, 246), part)


_EYE = (0.36, -0.12)


def draw_beak(canvas: Canvas, species: Species, head: Frame) -> None:
    """Two mandibles along a bent midline; `bend` is where the tip ends below the base, per length."""
    part, colour = CODE["beak"], species.plumage.beak
    length, depth, bend = _BEAKS[species.traits.beak]
    t = np.linspace(0, 1, 9)
    midline = np.stack((0.70 + t * (length + 0.25), 0.10 + bend * length * t**2), axis=1)
    half = depth / 2 * (1 - t**1.6) + 0.02
    upper, lower = midline.copy(), midline.copy()
    upper[:, 1] -= 1.15 * half
    lower[:, 1] += 0.85 * half
    canvas.fill(head(np.concatenate((midline, lower[::-1]))), tone(colour, 0.80), part)
    canvas.fill(head(np.concatenate((upper, midline[::-1]))), tone(colour, 1.12), part)
    canvas.stroke(head(midline[1:]), tone(colour, 0.45), 0.05 * head.scale)


_BEAKS = {
    # length and depth in radii of the head, bend
    "stout": (0.70, 0.80, 0.12),
    "short": (0.42, 0.34, 0.05),
    "slender": (0.85, 0.28, 0.04),
    "long": (1.60, 0.30, 0.04),
    "decurved": (1.55, 0.32, 0.48),
    "upturned": (1.35, 0.32, -0.32),
}


def draw_throat(canvas: Canvas, species: Species, head: Frame, outline: Points) -> None:
    """What lies from the chin to the breast."""
    part, plumage = CODE["throat"], species.plumage
    chin = (len(HEAD) - 1) * STEPS
    front = outline[chin - 4 : chin + STEPS + 1]
    bib = np.concatenate((front, head(((0.62, 1.22), (0.18, 1.10), (0.02, 0.72), (0.40, 0.34)))))
    match species.traits.throat:
        case "plain":
            canvas.mark(bib, part)
        case "bibbed":
            canvas.fill(bib, plumage.dark, part)
        case "pale":
            canvas.fill(bib, plumage.pale, part)
        case "collared":
            canvas.mark(bib, part)
            collar = open_curve(
                ((0.45, 1.16), (-0.1, 1.02), (-0.6, 0.70), (-0.86, 0.30), (-0.62, 0.34), (0.0, 0.66), (0.55, 0.80))
            )
            canvas.fill(np.concatenate((outline[chin + 4 : chin + STEPS], head(collar))), plumage.accent, part)
