"""`python -m blemish`: the same as the console script."""

import sys

from blemish.command import main

if __name__ == "__main__":
    sys.exit(main())
