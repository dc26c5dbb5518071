"""Writes the output of the README's console blocks anew: `python -m tests.update_readme`."""

from __future__ import annotations

from tests.readme import README, blocks
from tests.test_readme import output


def main() -> None:
    text = README.read_text(encoding="utf-8")
    for block in blocks("console"):
        first = block.splitlines()[0]
        text = text.replace(block, f"{first}\n{output(first)}")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
