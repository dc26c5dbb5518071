"""The codes of syntax diagnostics, each with the rule it stands for."""

from __future__ import annotations

# fmt: off
CODES = {
    "SG0001": "a word or sign stands where the grammar has no place for it",
    "SG0002": "every bracket, brace and block that is opened is closed",
    "SG0003": "a program is a readable file",
    "SG0004": "a program is UTF-8 text",
    "SG0005": "a program holds no characters that cannot be seen or that turn the text around",
    "SG0006": "a program file is at most 8 MB long",
    "SG0007": "a number is decimal, has at most 15 digits before the point and a small exponent",
    "SG0008": "brackets, sums and blocks nest at most 200 deep",
    "SG0009": 'a string opens and closes with " on one line',
    "SG0010": "the words that start a block or a statement are not names",
    "SG0011": "a program is made of the blocks of the language",
    "SG0012": "a connection is an arrow from a source to a new layer",
    "SG0013": "a setting is a name and a value; in brackets settings are separated by commas",
    "SG0014": "a block opens with its word, its name and what it belongs to",
    "SG0015": "a partition rule puts layers on a dimension or at a worker",
    "SG0016": "a cluster counts its groups as `k worker groups of n`",
    "SG0017": "a value is a number, a shape, a string, a name, a call or arithmetic on them",
    "SG0018": "an earlier step is written `h[t-1]`",
    "SG0019": "a param is drawn or read from a checkpoint",
    "SG0020": "a layer or updater of one's own is a list of equations",
}
# fmt: on
