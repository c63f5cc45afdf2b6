"""What every test of `crossval` starts from."""

from collections.abc import Callable
from pathlib import Path

import pytest

import main
from tests import tiny_recipe


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Cross-validate on the tiny images: `go(out, *words)`."""
    tiny_recipe.write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    source = Path(tiny_recipe.__file__).read_text()
    (tmp_path / "tiny.py").write_text(source)
    head = source.replace("tuning=Full(probe_first=True)", "tuning=Head()").replace(
        "from finegrain.tuning.full import Full", "from finegrain.tuning.head import Head"
    )
    (tmp_path / "head.py").write_text(head.replace('preset="strong", mixup=0.4, mix_probability=0.5', 'preset="none"'))

    def call(name: str, out: str, *words: str) -> int:
        return main.main(["crossval", "--config", f"{name}.py", "--out", out, *words])

    return call
