"""`python -m buildkit_py.cli`: the same program without an installed script."""

import sys

from buildkit_py.cli import main

sys.exit(main())
