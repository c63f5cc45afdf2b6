"""Config files: loading, overriding, checking, writing back."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tiny_recipe

from finegrain import config
from finegrain.config import Count, Fraction, Positive, Range
from finegrain.errors import ConfigError, fault


@dataclass(kw_only=True, slots=True)
class Optim:
    lr: Positive = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    steps: tuple[int, ...] = ()
    clip: Positive | None = None
    kind: Literal["sgd", "adamw"] = "adamw"
    nesterov: bool = False


@dataclass(kw_only=True, slots=True)
class Data:
    root: str = "birds"
    dropout: Fraction = 0.0


@dataclass(kw_only=True, slots=True)
class FolderData(Data):
    depth: Count = 1

    def faults(self) -> list[str]:
        return [] if self.root else [fault("data.root is empty", got="''", expected="a folder", remedy="set data.root")]


@dataclass(kw_only=True, slots=True)
class Toy:
    name: str = "toy"
    data: Data = field(default_factory=FolderData)
    optim: Optim = field(default_factory=Optim)


def changed(*assignments: str) -> Toy:
    toy = Toy()
    config.override(toy, assignments)
    config.check(toy)
    return toy


def test_override_parses_by_the_field_type():
    toy = changed("optim.lr=3e-4", "optim.betas=0.8,0.9", "optim.steps=3,6", "optim.clip=none", "optim.nesterov=true")
    assert toy.optim == Optim(lr=3e-4, betas=(0.8, 0.9), steps=(3, 6), clip=None, nesterov=True)
    assert changed("optim.clip=2").optim.clip == 2.0
    assert changed("data.depth=4", "data.root=a=b").data == FolderData(depth=4, root="a=b")


@dataclass(kw_only=True, slots=True)
class Model:
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class Zoo:
    model: Model = field(default_factory=lambda: Model(args={"depth": 4}))


@pytest.mark.parametrize(
    ("word", "args"),
    [
        ("model.args.width=16", {"depth": 4, "width": 16}),
        ("model.args.depth=none", {"depth": None}),
        ("model.args.widths=16,32", {"depth": 4, "widths": (16, 32)}),
        ("model.args.norm=true", {"depth": 4, "norm": True}),
        ("model.args.act=relu", {"depth": 4, "act": "relu"}),
        ("model.args.act=((((", {"depth": 4, "act": "(((("}),
        ("model.args={'rate': 0.5}", {"rate": 0.5}),
        ("model.args={}", {}),
    ],
)
def test_arguments_by_name_take_values_as_python_spells_them(word: str, args: dict[str, Any], tmp_path: Path):
    zoo = Zoo()
    config.override(zoo, [word])
    config.check(zoo)
    assert zoo.model.args == args
    assert config.flatten(zoo) == {f"model.args.{name}": value for name, value in args.items()}
    (tmp_path / "written.py").write_text(config.dump(zoo))
    assert config.load(tmp_path / "written.py").model == zoo.model


@pytest.mark.parametrize("word", ["model.args=relu", "model.args=3", "model.args={1: 2}", "model.args.a.b=1"])
def test_arguments_are_by_name(word: str):
    with pytest.raises(ConfigError, match=r"expected values by name|unknown config key"):
        config.override(Zoo(), [word])
    with pytest.raises(ConfigError, match="expected values by name"):
        config.check(Zoo(model=Model(args={1: 2})))


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("optim.lrr=1", "did you mean optim.lr?"),
        ("optm.lr=1", "did you mean optim.lr?"),
        ("optim=1", "optim is a section"),
        ("optim.lr.x=1", "unknown config key"),
        ("optim.lr", "KEY=VALUE"),
        ("optim.lr=fast", "a number > 0"),
        ("optim.kind=adam", "one of sgd, adamw"),
        ("optim.nesterov=1", "true or false"),
        ("optim.betas=0.9", "a number, a number"),
    ],
)
def test_override_names_value_allowed_and_remedy(word: str, part: str):
    with pytest.raises(ConfigError, match="expected") as error:
        config.override(Toy(), [word])
    assert part in str(error.value)


def test_all_faults_are_reported_at_once():
    toy = Toy(optim=Optim(lr=-1.0, kind="x"), data=FolderData(root="", dropout=2.0))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as error:
        config.check(toy)
    text = str(error.value)
    assert "(3 faults)" in text
    for part in ("optim.lr", "optim.kind", "data.dropout"):
        assert part in text


def test_a_sections_own_faults_are_asked_once_its_types_hold():
    with pytest.raises(ConfigError, match=r"data\.root is empty"):
        config.check(Toy(data=FolderData(root="")))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", None])
def test_a_number_must_be_finite_and_a_number(value: object):
    with pytest.raises(ConfigError, match=r"optim\.lr"):
        config.check(Toy(optim=Optim(lr=value)))  # type: ignore[arg-type]


def test_overflowing_text_is_refused():
    with pytest.raises(ConfigError, match=r"optim\.lr"):
        changed("optim.lr=1e999")


@pytest.mark.parametrize(("value", "holds"), [(0.0, False), (0.1, True), (1.0, True), (1.1, False)])
def test_range_ends(value: float, holds: bool):
    assert Range(above=0, most=1).holds(value) is holds
    assert config.matches(value, Annotated[float, Range(above=0, most=1)]) is holds


def write(folder, text: str):
    (folder / "configs").mkdir(exist_ok=True)
    file = folder / "configs" / "mine.py"
    file.write_text(text)
    return file


def test_load_lets_a_file_import_its_neighbours(tmp_path):
    (tmp_path / "toyconfigs").mkdir()
    (tmp_path / "toyconfigs" / "base.py").write_text("from test_config import Toy\ndef config(): return Toy()\n")
    file = tmp_path / "toyconfigs" / "mine.py"
    file.write_text(
        "from toyconfigs.base import config as base\n"
        "def config():\n    recipe = base()\n    recipe.name = 'mine'\n    return recipe\n"
    )
    assert config.load(file).name == "mine"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1/0", ":1 raised ZeroDivisionError"),
        ("def config(:", ":1 raised SyntaxError"),
        ("x = 1", "no attribute 'config'"),
        ("def config(): return 3", "must return a Recipe"),
        (
            "from test_config import Toy, Optim\ndef config():\n    t = Toy()\n    t.optim.lrr = 1\n",
            "did you mean lr?",
        ),
        ("from test_config import Optim\ndef config():\n    return Optim(quality=1)\n", "the fields of Optim are lr, "),
        ("from test_config import Optim\ndef config():\n    return Optim(lrr=1)\n", "did you mean lr?"),
    ],
)
def test_a_config_that_fails_says_where_and_why(tmp_path, text: str, part: str):
    with pytest.raises(ConfigError) as error:
        config.load(write(tmp_path, text))
    assert part in str(error.value)


def test_a_missing_file_is_named_with_the_nearest(tmp_path):
    file = write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"did you mean .*mine\.py"):
        config.load(file.with_name("mini.py"))


def test_dump_loads_back_equal(tmp_path):
    toy = changed("optim.betas=0.8,0.9", "optim.steps=3", "data.depth=2", 'name=it\'s "quoted"')
    assert config.load(write(tmp_path, config.dump(toy))) == toy
    assert config.dump(config.load(write(tmp_path, config.dump(toy)))) == config.dump(toy)


def test_flatten_gives_dotted_leaves():
    leaves = config.flatten(Toy())
    assert leaves["optim.lr"] == 1e-3
    assert "optim" not in leaves
    assert next(iter(leaves)) == "name"


def test_what_was_dumped_is_read_without_being_run():
    recipe = tiny_recipe.config()
    found = config.read_dump(config.dump(recipe))
    leaves = config.flatten(recipe)
    assert {key: value for key, value in found.items() if key in leaves} == leaves
    assert {key: found[key] for key in found.keys() - leaves.keys()} == {
        field.name: type(getattr(recipe, field.name)).__name__
        for field in dataclasses.fields(recipe)
        if dataclasses.is_dataclass(getattr(recipe, field.name))
    }


@pytest.mark.parametrize(
    "source",
    ["", "def config(", "def config():\n    return Recipe(seed=print('run'))", "def f():\n    return 1 + x", "\0",
     "def config():\n    return Recipe(**{})", "def f():\n    return " + "-" * 100_000 + "1"],
)  # fmt: skip
def test_what_was_not_dumped_is_refused(source: str, capsys):
    with pytest.raises(ValueError):
        config.read_dump(source)
    assert capsys.readouterr().out == ""
