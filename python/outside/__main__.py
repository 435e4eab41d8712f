"""The command `outside`, as a script and as `python -m outside`; everything it does is in `crates/outside-cli`."""

import sys

from ._outside import command


def main() -> int:
    """Runs the command line; the exit status."""
    try:
        return command(sys.argv)
    except KeyboardInterrupt:
        # Before or after it served: the status that a shell reports for a program that Ctrl+C has ended.
        return 130


if __name__ == "__main__":
    sys.exit(main())
