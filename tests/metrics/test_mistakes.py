import numpy as np

from finegrain.metrics.mistakes import class_extremes, surest_mistakes

PATHS = ("right.jpg", "sure.jpg", "unsure.jpg", "tie.jpg")
LABELS = np.array([0, 0, 1, 2])
PROBABILITIES = np.array([[1.0, 0, 0], [0.1, 0.9, 0], [0.6, 0.4, 0], [0.6, 0.0, 0.4]])


def test_the_surest_mistake_comes_first_and_ties_keep_their_order() -> None:
    mistakes = surest_mistakes(PATHS, LABELS, PROBABILITIES, limit=9)
    assert [m.path for m in mistakes] == ["sure.jpg", "unsure.jpg", "tie.jpg"]
    assert [(m.label, m.predicted, m.probability) for m in mistakes] == [(0, 1, 0.9), (1, 0, 0.6), (2, 0, 0.6)]
    assert [m.label_probability for m in mistakes] == [0.1, 0.4, 0.4]


def test_no_more_mistakes_than_asked_for_and_none_where_all_is_right() -> None:
    assert [m.path for m in surest_mistakes(PATHS, LABELS, PROBABILITIES, limit=1)] == ["sure.jpg"]
    assert surest_mistakes(("a", "b"), np.array([0, 1]), np.eye(2), limit=5) == ()


def test_the_ends_of_a_class_by_the_probability_of_its_label() -> None:
    own = np.array([0.9, 0.2, 0.5, 0.7, 0.4])
    (ends,) = class_extremes(np.zeros(5, int), np.stack([own, 1 - own], axis=1), each=2, limit=9)
    assert (ends.label, ends.hardest, ends.easiest) == (0, (1, 4), (0, 3))


def test_no_image_is_at_both_ends_and_hard_ones_come_first() -> None:
    def ends(own: list[float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        probabilities = np.stack([np.array(own), 1 - np.array(own)], axis=1)
        (found,) = class_extremes(np.zeros(len(own), int), probabilities, each=2, limit=1)
        return found.hardest, found.easiest

    assert ends([0.5]) == ((0,), ())
    assert ends([0.9, 0.5, 0.7]) == ((1, 2), (0,))
    assert ends([0.9, 0.9, 0.9, 0.9]) == ((0, 1), (3, 2))


def test_classes_go_from_hard_to_easy_and_those_without_images_are_left_out() -> None:
    labels = np.array([0, 3, 3, 1])
    probabilities = np.full((4, 5), 0.0)
    probabilities[np.arange(4), labels] = [0.6, 0.1, 0.3, 0.9]
    assert [ends.label for ends in class_extremes(labels, probabilities, each=1, limit=9)] == [3, 0, 1]
    assert [ends.label for ends in class_extremes(labels, probabilities, each=1, limit=2)] == [3, 0]
