"""Every config: it loads, holds, writes itself back, and can be planned without data."""

from pathlib import Path

import pytest

import main
import main_gan
from finegrain import config
from finegrain.gan.methods.base import GenerativeRecipe

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if path.name != "__init__.py")
OF_GENERATORS = [path for path in CONFIGS if isinstance(config.load(path), GenerativeRecipe)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_holds_and_writes_itself_back(path: Path, tmp_path: Path):
    recipe = config.load(path)
    config.check(recipe)
    (tmp_path / "config.py").write_text(config.dump(recipe))
    assert config.load(tmp_path / "config.py") == recipe
    assert config.load(path) is not recipe


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_its_name_its_command_and_what_was_measured(path: Path):
    text = path.read_text()
    assert config.load(path).name == path.stem
    program = "main_gan.py" if path in OF_GENERATORS else "main.py"
    assert f"python {program} --config configs/{path.name}" in text
    assert "\nMeasured on " in text or "not measured" in text


def test_the_tree_has_about_sixty_keys_and_twelve_a_section():
    leaves = config.flatten(config.load(ROOT / "configs" / "base.py"))
    sections: dict[str, int] = {}
    for key in leaves:
        sections[key.rpartition(".")[0]] = sections.get(key.rpartition(".")[0], 0) + 1
    assert max(sections.values()) <= 12
    assert len(leaves) <= 69


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in OF_GENERATORS], ids=lambda path: path.stem)
def test_a_dry_run_tells_the_recipe_the_model_and_the_steps(path: Path, capsys: pytest.CaptureFixture[str]):
    """Without the weights, which may not be here; a folder of weights names its architecture."""
    model = config.load(path).model
    name = model.name or Path(model.weights).name.partition(".")[0].replace("birds_", "test_")
    assert main.main(["--config", str(path), "--dry-run", "model.weights=none", f"model.name={name}"]) == 0
    shown = capsys.readouterr().out
    assert f"name='{path.stem}'" in shown
    assert "trainable" in shown
    assert "steps in all" in shown or "known once the data is read" in shown


@pytest.mark.parametrize("path", OF_GENERATORS, ids=lambda path: path.stem)
def test_a_dry_run_of_a_generator_tells_the_recipe_the_networks_and_the_steps(
    path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main_gan.main(["--config", str(path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"name='{path.stem}'" in shown
    assert "generator: " in shown or "denoiser: " in shown
    assert "steps in all" in shown
