"""What may be varied, between which values, and what is refused."""

import math

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.optim.multi_step import MultiStep
from finegrain.search.ranges import as_words, in_words, is_range, own_values, read_space, varied
from tests import tiny_recipe


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optim.lr=1e-5..1e-2", FloatDistribution(1e-5, 1e-2, log=True)),
        ("optim.lr=1e-3..5e-3", FloatDistribution(1e-3, 5e-3)),
        ("penalty.l2_sp=0..0.1", FloatDistribution(0.0, 0.1)),
        ("train.epochs=2..9", IntDistribution(2, 9)),
        ("train.batch_size=4..64", IntDistribution(4, 64, log=True)),
        ("optim.head_lr=1..2", FloatDistribution(1.0, 2.0)),
        ("augment.preset=weak,medium", CategoricalDistribution(["weak", "medium"])),
        ("optim.head_lr=none, 1e-2", CategoricalDistribution(["none", "1e-2"])),
        ("tuning.probe_first=true,false", CategoricalDistribution(["true", "false"])),
        ("penalty.p=1,inf", CategoricalDistribution(["1", "inf"])),
    ],
)
def test_a_range_is_read_by_the_field_it_is_of(word: str, expected: object):
    recipe = tiny_recipe.config()
    assert is_range(recipe, word)
    assert read_space(recipe, [word]) == {word.partition("=")[0]: expected}


@pytest.mark.parametrize("word", ["optim.lr=1e-3", "data.root=../images", "optim.betas=0.9,0.99", "optim.lrr=1..2"])
def test_other_words_are_no_ranges(word: str):
    assert not is_range(tiny_recipe.config(), word)


def test_a_list_is_one_value():
    recipe = tiny_recipe.config()
    recipe.schedule = MultiStep()
    assert not is_range(recipe, "schedule.milestones=1,2")
    assert not is_range(recipe, "model.args.channels=(16,32)")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optim.lr=-1..1", "optim.lr is not allowed: got -1.0; expected a number > 0"),
        ("optim.lr=1e-2..1e-3", "optim.lr has no range: got 1e-2..1e-3; expected LOW..HIGH"),
        ("optim.lr=1..x", "optim.lr cannot take this value: got x"),
        ("optim.lr=1..inf", "optim.lr is not allowed: got inf"),
        ("optim.lr=5", "optim.lr has no range: got 5"),
        ("train.epochs=2..2", "train.epochs has no range"),
        ("train.epochs=1..2.5", "train.epochs cannot take this value: got 2.5; expected a whole number"),
        ("schedule.warmup_epochs=0..9", "warmup_epochs is longer than the run: got 9"),
        ("augment.preset=weak,huge", "got huge; expected one of none, weak, medium, strong"),
        ("optim.lr=1,1.0", "optim.lr names a value twice"),
        ("optim=1..2", "optim is a section, not a field"),
        ("optim.lrr=1..2", "did you mean optim.lr?"),
        ("seed=1..3", "seed is not to be varied: .* any field but name, seed, data, runtime"),
        ("data.val_fraction=0.1..0.3", "data.val_fraction is not to be varied"),
        ("runtime.precision=fp32,bf16", "runtime.precision is not to be varied"),
        ("train.monitor=top1,loss", "train.monitor is not to be varied"),
        ("", "unknown config key"),
    ],
)
def test_a_wrong_range_is_refused(word: str, message: str):
    with pytest.raises(ConfigError, match=message):
        read_space(tiny_recipe.config(), [word])


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match=r"(?s)2 faults.*optim\.lr.*train\.epochs"):
        read_space(tiny_recipe.config(), ["train.epochs=2..2", "optim.lr=2..1"])


def test_without_ranges_the_rate_is_searched_around_the_recipes():
    assert read_space(tiny_recipe.config(), []) == {"optim.lr": FloatDistribution(3e-4, 3e-2, log=True)}


def test_words_set_a_value_to_the_last_bit():
    recipe, third = tiny_recipe.config(), math.pi / 1000
    values = {"optim.lr": third, "train.epochs": 7, "augment.preset": "weak", "optim.head_lr": "none"}
    changed = varied(recipe, values)
    assert (changed.optim.lr, changed.train.epochs, changed.augment.preset) == (third, 7, "weak")
    assert changed.optim.head_lr is None
    config.override(recipe, as_words(values))
    assert recipe == changed
    assert tiny_recipe.config().optim.lr == 3e-3


def test_the_recipes_own_values_are_found_where_they_lie_in_the_space():
    recipe = tiny_recipe.config()
    words = ["optim.lr=1e-5..1e-2", "augment.preset=none,strong", "optim.head_lr=1e-2,none"]
    own = {"augment.preset": "strong", "optim.head_lr": "none", "optim.lr": 3e-3}
    assert own_values(recipe, read_space(recipe, words)) == own
    assert own_values(recipe, read_space(recipe, [*words, "train.epochs=4..9"])) is None


def test_an_argument_of_the_network_can_be_varied_whether_the_recipe_sets_it_or_not():
    recipe = tiny_recipe.config()
    space = read_space(recipe, ["model.args.dropout=0.1..0.5"])
    assert space == {"model.args.dropout": FloatDistribution(0.1, 0.5)}
    assert own_values(recipe, space) is None
    recipe.model.args = {"dropout": 0.2}
    assert own_values(recipe, space) == {"model.args.dropout": 0.2}
    assert varied(recipe, {"model.args.dropout": 0.3}).model.args == {"dropout": 0.3}
    assert recipe.model.args == {"dropout": 0.2}


def test_a_range_in_words():
    space = read_space(tiny_recipe.config(), ["optim.lr=1e-5..1e-2", "augment.preset=none,weak", "train.epochs=1..3"])
    assert list(map(in_words, space.values())) == ["none, weak", "1e-05 to 0.01, log-uniform", "1 to 3, uniform"]
