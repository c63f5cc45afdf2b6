"""Folders of generated images as `main_gan.py --gen` leaves them, written without a generator."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write_version(
    path: Path, counts: Mapping[str, int], *, seen: Iterable[str] | None = (), refused: int = 0, **settings: Any
) -> Path:
    """Write `counts` images of 32 × 32 of each class, and rows of `refused` more of each that were not kept."""
    random, rows = np.random.default_rng(1), []
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count + refused):
            kept, place = number < count, f"{name}/{number:05d}.png"
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(content := io.BytesIO(), "PNG")
            if kept:
                (path / place).write_bytes(content.getvalue())
            sha256 = hashlib.sha256(content.getvalue()).hexdigest()
            rows.append({"path": place if kept else None, "sha256": sha256, "class": name, "kept": kept})
    (path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sha256 = None
    if seen is not None:
        (path / "train_images.txt").write_text("".join(f"{line}\n" for line in seen))
        sha256 = hashlib.sha256((path / "train_images.txt").read_bytes()).hexdigest()
    content = {"classes": list(counts), "images": len(rows), "train_images": sha256, **settings}
    (path / "generation.json").write_text(json.dumps(content))
    return path
