"""Train a conditional GAN: `--config`; write images: `--gen`; judge them: `--quality`; do they help? `--verdict`."""

import logging
import sys

from finegrain.errors import FinegrainError
from finegrain.gan.options import parser


def main(argv: list[str] | None = None) -> int:
    """Do one of these; return the exit code: 0 done, 2 wrong input, 130 or 143 a signal, state saved."""
    options = parser(__doc__).parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        from finegrain.gan.commands import answer  # imports torch: what comes before answers at once

        if said := answer(**vars(options)):  # one of several processes speaks
            print(said)
    except FinegrainError as error:
        print(f"finegrain: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # both save and say so themselves
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
