"""Starts `postgres-mcp`, which asks for Python 3.12, of which it needs one name. Its arguments are those of
that server.
"""

from __future__ import annotations

import sys
import typing

import typing_extensions

if __name__ == "__main__":
    # As 3.12 has it.
    typing.override = typing_extensions.override  # type: ignore[attr-defined]
    from postgres_mcp import main

    sys.exit(main())
