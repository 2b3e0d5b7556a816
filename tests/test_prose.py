"""What the check of English reads, and a text with a fault for each rule, to see that it is found."""

import re
from pathlib import Path

import pytest

from tests import prose

RULES = prose.rules(prose.RULES.read_text(encoding="utf-8"))
FAULTS = {  # a text with one fault, or several, and the kind of text; each rule finds one at least
    "Who has logits takes the softmax.": "sentence",
    "It helps who has logits.": "sentence",
    "Drawn is the weight.": "sentence",
    "With which weights should training begin?": "title",
    "It happens the more rarely the larger it is.": "sentence",
    "An integer (bool is none).": "sentence",
    "A long " * 23 + "one.": "sentence",
    "It hands on its modules.": "sentence",
    "It takes the product apart.": "sentence",
    "The schedule is asked at each step.": "sentence",
    "In earnest nobody knows.": "sentence",
    "Few examples speak for all.": "sentence",
    "The prior is worth ten rows.": "sentence",
    "It is seldom right.": "sentence",
    "The weights beside the step.": "sentence",
    "With its last parameters at rest.": "sentence",
    "It knows nothing of the labels.": "sentence",
    "The mean is 0, hence it vanishes.": "sentence",
    "Note that it is 0.": "heading",
    "The behavior of the loss.": "sentence",
    "Optimised weights.": "sentence",
    "The the weights.": "heading",
    "How large should a step be?": "title",
    "told_apart": "name",
    "test_mistakes_row_9": "name",
}
SOUND = {
    "Who has logits?": "sentence",
    "If you have logits, take the softmax.": "sentence",
    "A long " * 22 + "one.": "sentence",
    "A long " * 16 + "one; " + "a long " * 16 + "one.": "sentence",
    "The function hands on to the next.": "sentence",
    "Why is there none? If x is none of the names.": "sentence",
    "The Optimism of the training error, minimis.": "sentence",
    "How large should a step be?": "heading",
    "Dropout: how large should a step be?": "title",
    "far": "name",
    "beside": "name",
}


def broken(text: str, kind: str) -> set[prose.Rule]:
    """Return the rules that a text breaks."""
    return {
        rule for rule in RULES if rule.only in prose.kinds_of(prose.Text(1, text, kind)) and rule.pattern.search(text)
    }


def test_each_rule_finds_its_fault() -> None:
    found = {text: broken(text, kind) for text, kind in FAULTS.items()}

    assert [text for text, rules in found.items() if not rules] == []
    assert [rule.pattern.pattern for rule in RULES if not any(rule in rules for rules in found.values())] == []


@pytest.mark.parametrize("text", SOUND)
def test_sound_texts_break_no_rule(text: str) -> None:
    assert broken(text, SOUND[text]) == set()


PYTHON = '''\
"""
Title
=====

One sentence with ``code`` and :math:`x^2`. Another one
on two lines, see :doc:`a page </page>`.

.. math::

    not read

    not read

- An item.
  Its second line.

Examples::

    not read

>>> not read
not read

The end.
"""

# A comment. It has
# two sentences.
x = 1  # seldom true
y = x  # noqa: A001

# %%
# A cell
# ------
raise ValueError(f"{x} must be at least {y}, got none")


def told(here):
    print("a table\\nof two lines here", "two words")
'''
READ = [
    (2, "title", "Title"),
    (5, "sentence", "One sentence with ○ and ○."),
    (5, "sentence", "Another one on two lines, see a page."),
    (14, "sentence", "An item."),
    (14, "sentence", "Its second line."),
    (17, "sentence", "Examples::"),
    (24, "sentence", "The end."),
    (27, "sentence", "A comment."),
    (27, "sentence", "It has two sentences."),
    (29, "sentence", "seldom true"),
    (33, "heading", "A cell"),
    (35, "sentence", "○ must be at least ○, got none"),
    (39, "sentence", "a table"),
    (39, "sentence", "of two lines here"),
]


def test_texts_of_a_script_are_read_without_code() -> None:
    found = list(prose.texts_of_python(PYTHON))

    texts = sorted((text.line, text.kind, text.words) for text in found if text.kind != "name")
    assert texts == sorted(READ)
    assert {text.words for text in found if text.kind == "name"} == {"x", "y", "told", "here", "ValueError", "print"}


MARKDOWN = """\
# Title

Text with `code` and [a link](page.md). <p class="a a">A tag</p>
Second sentence.

```python
not read
```

| first cell | second |
1. One.
2. Two
   lines.
"""


def test_texts_of_a_page_are_read_without_code() -> None:
    found = [(text.line, text.kind, text.words) for text in prose.texts(MARKDOWN)]

    assert found == [
        (1, "title", "Title"),
        (3, "sentence", "Text with ○ and [a link](page.md)."),
        (3, "sentence", "○A tag○ Second sentence."),
        (10, "sentence", "first cell | second |"),
        (11, "sentence", "One."),
        (12, "sentence", "Two lines."),
    ]


def test_faults_name_the_place_and_what_to_write_instead(tmp_path: Path) -> None:
    (tmp_path / "docs" / "_build").mkdir(parents=True)
    (tmp_path / "README.md").write_text("Fine.\n\nIt is seldom\nright.\n")
    (tmp_path / "docs" / "terms.toml").write_text('# Seldom.\n[[row]]\nx = "one"\ny = "beside"\n')
    (tmp_path / "docs" / "_build" / "page.rst").write_text("Seldom.\n")
    (tmp_path / "dlcore").mkdir()
    (tmp_path / "dlcore" / "a.py").write_text("FEW = 1  # seldom\n")

    found = [fault.splitlines()[0] for fault in prose.faults(tmp_path, RULES)]

    places = [re.match(r"([\w./]+:\d+: '\w+'): write|([\w./]+:\d+: '\w+'): name", fault) for fault in found]
    assert [place[1] or place[2] for place in places if place] == [
        "README.md:3: 'seldom'",
        "dlcore/a.py:1: 'FEW'",
        "dlcore/a.py:1: 'seldom'",
        "docs/terms.toml:1: 'Seldom'",
        "docs/terms.toml:4: 'beside'",
    ]
