"""The command line: `python main.py [COMMAND] --config FILE [KEY=VALUE ...]`."""

import argparse
import logging
import sys
from pathlib import Path

from finegrain import config
from finegrain.errors import FinegrainError

COMMANDS = """commands:
  train      train, evaluate once on test, report (the default)
  evaluate   judge a finished run's best model again: --config RUN/config.py --out RUN"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 the input was wrong, 130 or 143 after a signal."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="main.py", description=__doc__, epilog=COMMANDS, formatter_class=form)
    parser.add_argument("words", nargs="*", metavar="WORD", help="a command, then KEY=VALUE for fields of the recipe")
    parser.add_argument("--config", required=True, help="a Python file with config() -> Recipe")
    parser.add_argument("--out", type=Path, help="the run directory itself; default ckpt/<name>/<time>")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the newest")
    parser.add_argument("--dry-run", action="store_true", help="show recipe, model and steps; read no data")
    options = parser.parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        recipe = config.load(options.config)  # imports torch: what comes before answers at once
        from finegrain.recipe import carry_out

        print(carry_out(recipe, options.words, out=options.out, resume=options.resume, dry_run=options.dry_run))
    except FinegrainError as error:
        print(f"finegrain: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
