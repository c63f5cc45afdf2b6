import inspect

import pytest

from finegrain import errors
from finegrain.engine.interrupt import Interrupted
from finegrain.errors import FinegrainError, fault, fault_list, printable


def test_a_fault_names_value_allowed_and_remedy() -> None:
    text = fault("optim.lr is not allowed", got=-1.0, expected="a number > 0", remedy="set optim.lr")
    assert text == "optim.lr is not allowed: got -1.0; expected a number > 0; set optim.lr"
    assert fault("x", got="text", expected="y", remedy="z") == "x: got text; expected y; z"
    assert fault("x", got=None, expected="y", remedy="z") == "x: got None; expected y; z"


def test_a_single_fault_stands_alone() -> None:
    assert fault_list("the config has faults", ["one"]) == "one"


def test_faults_are_numbered_under_a_title() -> None:
    assert fault_list("faults", ["a", "b"]) == "faults (2 faults):\n  1. a\n  2. b"


def test_of_many_faults_some_are_shown_and_all_counted() -> None:
    lines = fault_list("faults", [str(number) for number in range(30)], shown=5).splitlines()
    assert lines[0] == "faults (30 faults):"
    assert lines[1:] == ["  1. 0", "  2. 1", "  3. 2", "  4. 3", "  5. 4", "  ... and 25 more"]
    assert "more" not in fault_list("faults", ["a", "b"], shown=2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Küstenseeschwalbe 海\n🐦", "Küstenseeschwalbe 海\n🐦"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("bird\udcff.jpg", "bird\\udcff.jpg"),
        ("a\tb\rc\x00", "a\\tb\\rc\\x00"),
        ("\u202egpj.bird", "\\u202egpj.bird"),
    ],
)
def test_what_could_upset_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()
    assert fault("x", got=text, expected="y", remedy="z") == f"x: got {shown}; expected y; z"


def test_every_error_of_a_user_ends_with_exit_code_2() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert len(kinds) == 9
    for kind in kinds:
        assert issubclass(kind, FinegrainError)
        assert kind("message").exit_code == 2
        assert str(kind("message")) == "message"


@pytest.mark.parametrize(("number", "name", "code"), [(2, "SIGINT", 130), (15, "SIGTERM", 143)])
def test_a_signal_has_an_exit_code_of_its_own(number: int, name: str, code: int) -> None:
    stop = Interrupted(number, where="epoch 2, step 9")
    assert stop.exit_code == code
    assert str(stop) == f"stopped by {name} at epoch 2, step 9; go on with --resume"
