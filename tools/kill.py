"""Trainings that are killed at random moments and go on: do they end with the same bits?

python tools/kill.py [--kills 200] [--seed 0] [CASE ...]

The cases are those of tests/resuming.py. Prints a line for each training; the exit status is 1 if
one ended otherwise than a training that was left alone.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import resuming


def main() -> int:
    """Kills, and counts; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(resuming.CASES))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cases = arguments.cases or resuming.CASES
    dice = random.Random(arguments.seed)
    begun = time.perf_counter()
    kills = equal = trainings = 0
    with tempfile.TemporaryDirectory() as folder:
        wanted = {case: resuming.run_whole(case, Path(folder, case)) for case in cases}
        while kills < arguments.kills:
            case = cases[trainings % len(cases)]
            most = min(dice.randint(2, 6), arguments.kills - kills)
            found = resuming.run_killed(
                case, Path(folder, f"{trainings}"), *wanted[case], most, dice
            )
            kills, trainings = kills + found.kills, trainings + 1
            equal += found.kills if not found.differences else 0
            print(
                f"{kills:4d} kills  {case}: {found.kills} kills, "
                + (f"differs in {found.differences}" if found.differences else "equal"),
                flush=True,
            )
    print(
        f"{equal} of {kills} kills ended equal to the last bit, in {trainings} trainings and "
        f"{time.perf_counter() - begun:.0f} s"
    )
    return 0 if equal == kills else 1


if __name__ == "__main__":
    sys.exit(main())
