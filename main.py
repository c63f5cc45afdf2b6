"""The command line: `python main.py [COMMAND] [KEY=VALUE ...]`; exit code 2: wrong input, 3: done but for bad files."""

import argparse
import logging
import sys
from pathlib import Path

from finegrain.errors import FinegrainError

WORDS = """train (the default); evaluate: judge the best model in --out again; explain [images=PATH]: what it looks at;
features; crossval [folds=K]; ensemble DIR DIR; learning-curve; tune KEY=LOW..HIGH KEY=A,B; lr-range; then KEY=VALUE of
the recipe; without a recipe: compare DIR DIR: finished evaluations; predict DIR images=PATH: new images"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 wrong input, 3 done but for bad files, 130 or 143 a signal."""
    parser = argparse.ArgumentParser(prog="main.py", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help=WORDS)
    parser.add_argument("--config", help="a Python file with config() -> Recipe; all but compare and predict need it")
    parser.add_argument("--out", type=Path, help="the run directory itself; default ckpt/<name>/<time>")
    parser.add_argument("--cache", help="a folder that keeps features of frozen networks for all runs")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the newest")
    parser.add_argument("--dry-run", action="store_true", help="show recipe, model and steps; read no data")
    parser.add_argument("--explain", action="store_true", help="with predict: show what the model looks at, too")
    options = parser.parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        from finegrain.commands import answer  # imports torch: what comes before answers at once

        print(answer(**vars(options)))
    except FinegrainError as error:
        print(f"finegrain: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # training saves and says so itself
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
