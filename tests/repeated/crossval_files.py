"""What `crossval` leaves in its directory."""

import json
from pathlib import Path

from finegrain.repeated.judges import cell_digest


def cells(out: str) -> dict[str, bytes]:
    return {path.name.rpartition("-")[0]: path.read_bytes() for path in Path(out, "cells").glob("*.safetensors")}


def digest(out: str) -> str:
    return cell_digest(json.loads(Path(out, "evaluation.json").read_text()))
