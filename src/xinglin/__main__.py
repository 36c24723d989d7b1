"""`python -m xinglin`."""

import sys

INTERRUPTED = 130


def main() -> int:
    """The command line. Loading it takes a moment, in which Ctrl-C is no traceback either."""
    try:
        from xinglin.cli import main as run
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
