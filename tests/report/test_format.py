import pytest

from finegrain.report.format import MISSING, count, decimal, duration, interval, is_p, p_value, percent, points, size


def test_shares_are_written_in_per_cent() -> None:
    assert percent(0.9164) == "91.6\N{NBSP}%"
    assert percent(1.0, 0) == "100\N{NBSP}%"
    assert interval((0.905, 0.926)) == "90.5–92.6"


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_a_missing_number_is_a_dash(missing: float | None) -> None:
    assert percent(missing) == decimal(missing) == MISSING


def test_percentage_points_have_no_unit() -> None:
    assert points(0.0048) == "0.5"
    assert points(None) == MISSING


def test_missing_interval_and_size_are_dashes() -> None:
    assert interval(None) == size(None) == MISSING


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0123, "p = 0.012"), (1.0, "p = 1"), (3e-299, "p = 3e-299"), (9e-301, "p < 1e-300"), (0.0, "p < 1e-300")],
)
def test_no_p_value_is_said_to_be_zero(p: float, shown: str) -> None:
    assert is_p(p) == shown
    assert p_value(p) == shown.removeprefix("p ").removeprefix("= ")
    assert p_value(None) == MISSING


def test_counts_have_thousands_apart() -> None:
    assert count(25_557_032) == "25,557,032"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0.00 s"),
        (0.42, "0.42 s"),
        (41.33, "41.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.7, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_duration_takes_the_two_units_that_matter(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@pytest.mark.parametrize(
    ("number", "written"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1_610_612_736, "1.50 GiB")]
)
def test_size_is_in_binary_units(number: int, written: str) -> None:
    assert size(number) == written
