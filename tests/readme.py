"""The code blocks of the README, for its tests and for CI.

python tests/readme.py run-command    the command that sets up and trains
python tests/readme.py test-command   the command that sets up and tests
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    """The texts of the fenced blocks of a language, in order."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def command(name: str) -> str:
    run, test = blocks("sh")
    return {"run-command": run, "test-command": test}[name].strip()


if __name__ == "__main__":
    print(command(sys.argv[1]))
