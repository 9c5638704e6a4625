"""Where files that come with the program are: beside the source, or in the installed package."""

from __future__ import annotations

import sys
from pathlib import Path


def configs() -> Path:
    """Return the directory of ``configs/``.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    beside = Path(__file__).resolve().parent.parent / "configs"
    installed = Path(sys.prefix) / "share" / "wuji" / "configs"
    for directory in (beside, installed):
        if (directory / "demo").is_dir():
            return directory
    raise FileNotFoundError(f"no configs directory: neither {beside} nor {installed}")
