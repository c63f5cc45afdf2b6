"""Train a conditional GAN: `python main_gan.py --config FILE [KEY=VALUE ...]`; exit code 2: wrong input."""

import argparse
import logging
import sys
from pathlib import Path

from finegrain.errors import FinegrainError


def main(argv: list[str] | None = None) -> int:
    """Train; return the exit code: 0 done, 2 wrong input, 130 or 143 a signal, state saved."""
    parser = argparse.ArgumentParser(prog="main_gan.py", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="a field of the recipe, such as train.steps=8000")
    parser.add_argument("--config", required=True, help="a Python file with config() -> GanRecipe")
    parser.add_argument("--out", type=Path, help="the run directory itself; default ckpt/<name>/<time>")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the newest")
    parser.add_argument("--dry-run", action="store_true", help="show recipe, networks and steps; read no data")
    options = parser.parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        from finegrain.gan.commands import answer  # imports torch: what comes before answers at once

        print(answer(**vars(options)))
    except FinegrainError as error:
        print(f"finegrain: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # training saves and says so itself
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
