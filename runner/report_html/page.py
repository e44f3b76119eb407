# SPDX-License-Identifier: GPL-2.0
"""Small parts that all sections are made of."""
import html
import re

esc = html.escape


def anchor(text):
    """A string that is an id and needs no quotes in HTML."""
    return re.sub(r"[^\w.-]", "_", text)


def klass(result):
    """The CSS class of a result."""
    return {"skip": "skipped", "absent": "unr"}.get(result, result)


def seconds(value):
    """A duration, with two digits that mean something."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def clock(value):
    """A long duration."""
    return f"{int(value) // 60}:{int(value) % 60:02}" if value else ""


def scroll(label, inner):
    """A box that scrolls sideways, by keyboard, too."""
    return (f'<div class=scroll role=region tabindex=0 aria-label="{esc(label)}">'
            f"{inner}</div>")


def table(head, rows, label="", numeric=()):
    """A table; cells are HTML, or a pair of HTML and a class."""
    def mark(i):
        return " class=n" if i in numeric else ""

    out = ["<table><thead><tr>"]
    out += [f"<th scope=col{mark(i)}>{h}" for i, h in enumerate(head)]
    out.append("<tbody>")
    for row in rows:
        out.append("<tr>")
        for i, c in enumerate(row):
            if isinstance(c, tuple):
                out.append(f'<td class="{c[1]}">{c[0]}')
            else:
                out.append(f"<td{mark(i)}>{c}")
    out.append("</table>")
    return scroll(label or re.sub("<.*?>", "", head[0]), "".join(out))
