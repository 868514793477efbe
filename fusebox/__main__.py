"""``python -m fusebox``."""

import sys

from fusebox.cli import main

sys.exit(main())
