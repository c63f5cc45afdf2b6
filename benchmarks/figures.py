"""How a benchmark says where it ran and what came of it."""

import argparse
import os
from importlib.metadata import version

import torch


def verdict(name: str, ratio: float, goal: float | None, *, needs_amx: bool = True) -> str:
    """The last word on a figure; without its goal where there is none, or where this processor lacks AMX for it."""
    holds = goal is not None and (not needs_amx or torch.cpu._is_amx_tile_supported())
    return f"{name} ratio {ratio:.2f}" + (f" goal {goal:g}" if holds else "")


def conditions(options: argparse.Namespace) -> str:
    """The machine, the libraries and the size of the measurement."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm"))
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    amx = "with" if torch.cpu._is_amx_tile_supported() else "without"
    return (
        f"{os.cpu_count()} CPUs {amx} AMX, load {load}, 1 thread, {libraries}\n"
        f"{options.images} images, {options.rounds} rounds, batch {options.batch_size}"
    )
