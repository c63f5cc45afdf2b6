"""Answers as a table and as JSON: order, ties, what is unknown, what could not be read, hostile names."""

import csv
import io
import json
from typing import Any

import numpy as np

from finegrain.report.answers import Answers

P = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [1.0, 0.0, 0.0]])


def answers(**fields: Any) -> Answers:
    values: dict[str, Any] = {
        "models": ["run"],
        "class_names": ["auk", "bee", "crane"],
        "paths": ["a.jpg", "b.jpg", "c.jpg"],
        "probabilities": P,
        "calibrated": P[:, [1, 0, 2]],
        "unsure": np.array([False, True, False]),
        "sets": np.array([[False, True, True], [True, True, True], [True, False, False]]),
        "unreadable": {2: "c.jpg cannot be read: got nothing"},
        "notes": ["Calibrated."],
        "top": 2,
    }
    return Answers(**(values | fields))


def rows(made: Answers) -> list[list[str]]:
    return list(csv.reader(io.StringIO(made.csv())))


def test_the_table_ranks_classes_and_says_why_a_file_has_none():
    header, *found = rows(answers())
    assert ",".join(header) == (
        "path,class_1,probability_1,calibrated_1,class_2,probability_2,calibrated_2,unsure,set,error"
    )
    assert found == [
        ["a.jpg", "bee", "0.5", "0.2", "crane", "0.3", "0.3", "false", "bee | crane", ""],
        ["b.jpg", "auk", "0.4", "0.2", "crane", "0.4", "0.4", "true", "auk | crane | bee", ""],
        ["c.jpg", *[""] * 8, "c.jpg cannot be read: got nothing"],
    ]


def test_json_has_the_same():
    found = json.loads(answers().json())
    assert (found["models"], found["notes"]) == (["run"], ["Calibrated."])
    assert found["predictions"][0] == {
        "path": "a.jpg",
        "classes": [
            {"class": "bee", "probability": 0.5, "calibrated": 0.2},
            {"class": "crane", "probability": 0.3, "calibrated": 0.3},
        ],
        "unsure": False,
        "set": ["bee", "crane"],
    }
    assert [entry["path"] for entry in found["predictions"]] == ["a.jpg", "b.jpg"]
    assert found["unreadable"] == [{"path": "c.jpg", "reason": "c.jpg cannot be read: got nothing"}]


def test_what_is_not_known_stays_empty():
    unknown = answers(calibrated=None, unsure=None, sets=None, unreadable={})
    assert rows(unknown)[1] == ["a.jpg", "bee", "0.5", "", "crane", "0.3", "", "", "", ""]
    entry = json.loads(unknown.json())["predictions"][0]
    assert (entry["unsure"], entry["set"], entry["classes"][0]["calibrated"]) == (None, None, None)


def test_there_are_no_more_ranks_than_classes():
    assert len(rows(answers(top=9))[0]) == 1 + 3 * 3 + 3


def test_hostile_names_are_text():
    made = answers(
        class_names=["=cmd()", "@b", "c\nd"],
        paths=["=1+1.jpg", "+b\x1b[2J.jpg", "-c\udcff.jpg"],
        unreadable={2: "=x cannot be read"},
    )
    _, first, second, third = rows(made)
    assert [first[0], first[1], first[8]] == ["'=1+1.jpg", "'@b", "'@b | c\\nd"]
    assert (second[0], second[1]) == ("'+b\\x1b[2J.jpg", "'=cmd()")
    assert (third[0], third[-1]) == ("'-c\\udcff.jpg", "'=x cannot be read")
    entry = json.loads(made.json().encode())
    assert entry["unreadable"][0]["path"] == "-c\\udcff.jpg"
    assert entry["predictions"][0]["path"] == "=1+1.jpg"
