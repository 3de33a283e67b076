"""``python -m maskgraph``: the same as the console command."""

import sys

from maskgraph.cli import main

if __name__ == "__main__":
    sys.exit(main())
