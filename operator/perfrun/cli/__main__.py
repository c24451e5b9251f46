"""``python -m perfrun.cli``: the command line where the script is not on the path, such as in a pod."""

from __future__ import annotations

from perfrun.cli.main import main

if __name__ == "__main__":
    main()
