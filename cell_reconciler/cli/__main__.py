"""``python -m cell_reconciler.cli``: the same as ``cellctl``."""

from __future__ import annotations

import sys

from cell_reconciler.cli.main import main

sys.exit(main())
