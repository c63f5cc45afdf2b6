"""Train a conditional GAN: `--config FILE`; write labelled images of it: `--gen [RUN]`; exit code 2: wrong input."""

import argparse
import logging
import sys
from pathlib import Path

from finegrain.errors import FinegrainError


def main(argv: list[str] | None = None) -> int:
    """Train or generate; return the exit code: 0 done, 2 wrong input, 130 or 143 a signal, state saved."""
    parser = argparse.ArgumentParser(prog="main_gan.py", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="KEY=VALUE of the recipe; for --gen: a run's folder")
    parser.add_argument("--config", help="a file with config() -> GanRecipe; for --gen: its newest finished run")
    parser.add_argument("--out", type=Path, help="the run directory itself, or what --gen writes; default: a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the newest")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done; read no data")
    parser.add_argument("--gen", action="store_true", help="write images of RUN or the newest; goes on in its --out")
    parser.add_argument("--per-class", metavar="N", help="images of each class; default 100")
    parser.add_argument("--fill-to", metavar="N", help="as many as each class lacks to N train images")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only of these classes")
    parser.add_argument("--truncation", metavar="T", help="noise within [-T, T]: more typical, and more alike")
    parser.add_argument("--seed", metavar="N", help="of the images; default 0")
    options = parser.parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        from finegrain.gan.commands import answer  # imports torch: what comes before answers at once

        print(answer(**vars(options)))
    except FinegrainError as error:
        print(f"finegrain: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # both save and say so themselves
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
