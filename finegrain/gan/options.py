"""The options of `main_gan.py`; the standard library only, so that --help answers at once."""

import argparse
from pathlib import Path


def parser(description: str | None) -> argparse.ArgumentParser:
    """What reads the command line; its results are the arguments of `commands.answer`."""
    reads = argparse.ArgumentParser(prog="main_gan.py", description=description)
    reads.add_argument("words", nargs="*", metavar="WORD", help="KEY=VALUE; for the others also a run or versions")
    reads.add_argument("--config", help="a file that gives the recipe; for --quality and --verdict a classifier's")
    reads.add_argument("--out", type=Path, help="the run directory itself, or what --gen writes; default: a new one")
    reads.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the newest")
    reads.add_argument("--dry-run", action="store_true", help="only show what would be done; read no data")
    does = reads.add_mutually_exclusive_group()
    does.add_argument("--gen", action="store_true", help="write images of RUN or the newest; goes on in its --out")
    does.add_argument("--quality", action="store_true", help="judge and rank versions: folders that --gen wrote")
    does.add_argument("--verdict", action="store_true", help="does a version help a classifier? goes on in its --out")
    reads.add_argument("--per-class", metavar="N", help="images of each class; default 100")
    reads.add_argument("--fill-to", metavar="N", help="as many as each class lacks to N train images")
    reads.add_argument("--classes", nargs="+", metavar="NAME", help="only of these classes")
    reads.add_argument("--truncation", metavar="T", help="noise within [-T, T]: more typical, and more alike")
    reads.add_argument("--filter", metavar="CLASSIFIER", help="keep what it takes for its class: a run or model folder")
    reads.add_argument("--seed", metavar="N", help="of the images; default 0")
    return reads
