"""``python -m perfrun.controller``: what the image starts."""

import sys

from perfrun.controller.run import entry

sys.exit(entry(sys.argv[1:]))
