"""`python -m xinglin`."""

import sys

from xinglin.cli import main

if __name__ == "__main__":
    sys.exit(main())
