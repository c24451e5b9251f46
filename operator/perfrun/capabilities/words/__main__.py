"""Writes ``vocabulary.md`` into a directory."""

import sys
from pathlib import Path

from perfrun.capabilities.words.document import page

if __name__ == "__main__":
    (Path(sys.argv[1]) / "vocabulary.md").write_text(page(), encoding="utf-8")
