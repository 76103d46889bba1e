"""``python -m hepvae``."""

import sys

from .cli import main

sys.exit(main())
