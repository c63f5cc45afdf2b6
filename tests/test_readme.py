"""The README: its two install lines stand where CI reads them, and every command in it can be planned."""

import re
import shlex
from pathlib import Path

import pytest

import main
import main_gan
from finegrain import config
from finegrain.search.ranges import is_range
from finegrain.storage import locate

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = (
    "pip install -e . && python main.py --config configs/quickstart.py",
    'pip install -e ".[dev]" && pytest',
)
COMMANDS = re.findall(r"^(?:pip install -e \. && )?python main\.py (.+)$", README, flags=re.MULTILINE)
GAN_COMMANDS = re.findall(r"^python main_gan\.py (.+)$", README, flags=re.MULTILINE)
PLANNED = [command for command in COMMANDS if not command.startswith(("compare ", "predict "))]


def test_ci_finds_its_two_install_lines():
    assert tuple(line for line in README.splitlines() if line.startswith("pip install -e ")) == INSTALL


@pytest.mark.parametrize("command", PLANNED)
def test_a_command_can_be_planned(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(ROOT)
    (tmp_path / "RUN").mkdir()
    recipe = config.dump(config.load("configs/quickstart.py"))
    (tmp_path / "RUN" / "config.py").write_text(recipe, encoding="utf-8")
    words = [re.sub(r"\b(FOLDER|RUN|CACHE)\b", rf"{tmp_path}/\1", word) for word in shlex.split(command)]
    assert main.main([*words, *without_missing_weights(words), "--dry-run"]) == 0
    assert "trainable" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "RUN").iterdir()] == ["config.py"]


def test_a_command_of_a_gan_can_be_planned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(ROOT)
    commands = [command for command in GAN_COMMANDS if not command.startswith("--gen ")]
    assert commands
    for command in commands:
        assert main_gan.main([*shlex.split(command), "--dry-run"]) == 0
        shown = "version" if command.startswith(("--quality", "--verdict")) else "steps in all"
        assert shown in capsys.readouterr().out


def test_a_generation_asks_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    commands = [command for command in GAN_COMMANDS if command.startswith("--gen ")]
    assert commands
    for command in commands:
        assert main_gan.main(shlex.split(command)) == 2
        assert "GAN holds no generator: got no such directory" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_comparison_asks_for_finished_evaluations(capsys: pytest.CaptureFixture[str]):
    comparisons = [command for command in COMMANDS if command.startswith("compare ")]
    assert comparisons
    for command in comparisons:
        assert main.main(shlex.split(command)) == 2
        assert "A holds no finished evaluation" in capsys.readouterr().err


def test_a_prediction_asks_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER" / "a.jpg").touch()
    (tmp_path / "list.csv").write_text("path\nFOLDER/a.jpg\n", encoding="utf-8")
    predictions = [command for command in COMMANDS if command.startswith("predict ")]
    assert predictions
    for command in predictions:
        assert main.main(shlex.split(command)) == 2
        assert "holds no model: got no such directory" in capsys.readouterr().err


def without_missing_weights(words: list[str]) -> list[str]:
    """Overrides that take random weights where the command's are not on this machine."""
    recipe = config.load(words[words.index("--config") + 1])
    fields = [word for word in words if "." in word.partition("=")[0] and "=" in word]
    config.override(recipe, [word for word in fields if not is_range(recipe, word)])
    if recipe.model.weights is None or locate(recipe.model.weights).exists():
        return []
    return ["model.weights=none", *([] if recipe.model.name else ["model.name=timm/test_resnet"])]


def test_every_config_is_in_the_table_and_every_named_file_exists():
    shorthand = re.compile(r"(\w+_)\{([\w,]+)\}(?:(_)\{([\w,]+)\})?")
    named = set(re.findall(r"\w+", README))
    for prefix, firsts, joint, seconds in shorthand.findall(README):
        named |= {f"{prefix}{first}{joint}{second}" for first in firsts.split(",") for second in seconds.split(",")}
    configs = {path.stem for path in (ROOT / "configs").glob("*.py")} - {"__init__"}
    assert configs <= named
    for path in re.findall(r"`((?:configs|benchmarks|docs)/\w+\.\w+)`|\]\((docs/[\w.]+)\)", README):
        assert (ROOT / "".join(path)).is_file()
    assert (ROOT / "docs" / "synthetic_birds.png").stat().st_size <= 300_000
