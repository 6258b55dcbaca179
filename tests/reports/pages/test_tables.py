"""Tables as CSV, LaTeX and Markdown, character by character."""

from __future__ import annotations

from rarefy.reports.pages import Column, Table

TABLE = Table(
    "t",
    "50% of a_b",
    (
        Column("method", is_text=True),
        Column("accuracy, %", lambda found: f"{100 * found[0]:.1f} ± {100 * found[1]:.1f}", ("mean", "half")),
    ),
    (("erk_plus|x", (0.9215, 0.004)), ("\\evil{}$", None)),
)


def test_csv_is_unrounded_and_has_a_column_a_number():
    assert TABLE.files["t.csv"] == "method,mean,half\nerk_plus|x,0.9215,0.004\n\\evil{}$,,\n"


def test_latex_is_escaped():
    text = TABLE.files["t.tex"]
    assert r"\caption{50\% of a\_b}" in text
    assert r"erk\_plus|x & 92.2 $\pm$ 0.4 \\" in text or r"erk\_plus|x & 92.1 $\pm$ 0.4 \\" in text
    assert r"\textbackslash{}evil\{\}\$ & -- \\" in text
    assert r"\begin{tabular}{lr}" in text


def test_markdown_is_escaped():
    lines = TABLE.files["t.md"].splitlines()
    assert lines[0] == "| method | accuracy, % |"
    assert lines[1] == "| --- | ---: |"
    assert lines[2].startswith(r"| erk_plus\|x | 92.")
