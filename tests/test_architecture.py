"""The shape of the project: arrows point down, siblings stay apart, nothing read from disk runs code."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "finegrain"
LAYERS = {
    "errors": 0, "config": 0, "preprocessing": 0, "replicas": 0, "runtime": 0, "storage": 0,
    "mytorch": 0.5,
    "data": 1, "models": 1, "tuning": 1, "losses": 1, "optim": 1, "metrics": 1,
    "engine": 2, "features": 2, "saliency": 2, "report": 2,
    "recipe": 3, "judgement": 3, "caching": 3, "survey": 3, "explain": 3, "error_analysis": 3,
    "trained": 3, "predict": 3, "perception": 3,
    "repeated": 4, "search": 4, "ensembles": 4,
    "commands": 5,
    "gan.options": 0, "gan.networks": 1, "gan.losses": 1, "gan.augment": 1, "gan.pictures": 1,
    "gan.latent": 2, "gan.player": 2, "gan.selection": 2, "gan.nearest": 2, "gan.trainer": 2.25, "gan.together": 2.5,
    "gan.methods": 2.5, "gan.generator_folder": 2.5,
    "gan.version": 3, "gan.filtering": 3, "gan.generate": 3, "gan.recipe": 3,
    "gan.judged": 3, "gan.fidelity": 3, "gan.quality": 3,
    "gan.arms": 3, "gan.learners": 3, "gan.experiment": 3, "gan.verdict_rows": 3,
    "gan.verdict": 4,
    "gan.commands": 5,
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
STDLIB_ONLY = ("errors", "config", "preprocessing")


def part(path: Path) -> str:
    """The package or top-level module that a file belongs to; of `gan`, which has parts in most layers, the part."""
    return named([name.removesuffix(".py") for name in path.relative_to(PACKAGE).parts])


def named(words: Sequence[str]) -> str:
    """The part that a module's dotted name below `finegrain` belongs to."""
    return ".".join(words[:2]) if words[0] == "gan" else words[0]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module's dotted name, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{name.name}", node.lineno) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_down(path: Path):
    own = part(path)
    if own.endswith("__init__"):
        return
    for name, line in imports(ast.parse(path.read_text())):
        words = name.split(".")
        other = named(words[1:]) if words[0] == "finegrain" and len(words) > 1 else own
        if other == own or other not in LAYERS:
            continue
        below = LAYERS[other] < LAYERS[own] or (LAYERS[own] == LAYERS[other] in (0, 3, 4))
        assert below, f"{path.name}:{line} of {own} imports {name}"


def test_every_part_has_a_layer():
    assert {part(path) for path in FILES} - {"__init__", "gan.__init__"} == set(LAYERS)


def test_there_are_no_import_cycles():
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}
    graph = {n: {m for m, _ in imports(ast.parse(p.read_text())) if m in names and m != n} for n, p in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", STDLIB_ONLY)
def test_the_lowest_files_need_only_the_standard_library(name: str):
    import sys

    for module, line in imports(ast.parse((PACKAGE / f"{name}.py").read_text())):
        top = module.split(".")[0]
        assert top == "finegrain" or top in sys.stdlib_module_names, f"{name}.py:{line} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_read_from_disk_runs_code(path: Path):
    """No pickle, no eval, no exec; torch.load only with weights_only=True; np.load never with allow_pickle=True."""
    tree = ast.parse(path.read_text())
    unpicklers = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert not {module.split(".")[0] for module, _ in imports(tree)} & unpicklers
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
        assert name not in ("eval", "exec", "yaml.load"), f"{path.name}:{call.lineno}"
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", f"{path.name}:{call.lineno}"
        if name in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle") == "False", f"{path.name}:{call.lineno}"


@pytest.mark.parametrize(
    "path", [*FILES, ROOT / "main.py", ROOT / "main_gan.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_files_and_functions_stay_short(path: Path):
    text = path.read_text()
    assert text.count("\n") <= (40 if path.parent == ROOT else 400)
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with one sentence on what it is for"
    for function in functions(tree):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        if body:
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            assert lines <= 60, f"{path.name}:{function.lineno} {function.name} has {lines} lines"


def test_the_median_file_is_short():
    lengths = sorted(path.read_text().count("\n") for path in FILES)
    assert lengths[len(lengths) // 2] <= 150


def test_no_drawers():
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not {path.name for path in FILES} & drawers
