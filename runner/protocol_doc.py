#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Documentation/protocol.md: the DOC sections of src/ and include/xmirror/.

usage: protocol_doc.py [--check] [--top DIR]

A section is a comment of the kernel's kernel-doc,

    /**
     * DOC: Title
     *
     * Text, in what reStructuredText and Markdown have in common: paragraphs, lists,
     * emphasis. A paragraph that ends with :: is followed by indented text that is
     * left as it is.
     */

at the top of the file that owns the subject. One that is titled "Example ..." shows
the code that follows it, up to the line END.

Without an option the file is written. --check says whether it is current, and that
each function of ours that a document names is there.
"""
import collections
import re
import sys

import generated
from generated import Error

# Files in the order of the document, with their sections in the order of the file
FILES = ("include/xmirror/xmirror.h", "src/mirror.h", "src/mirror.c",
         "src/interval.c", "src/fault.c", "src/exclusive.c", "src/fork.c",
         "src/resident.c", "src/devmem.c", "src/migrate.c", "src/slice.c",
         "src/place.c", "src/verify.c",
         "samples/toy.c")
END = "/* End of the example. */"

DOC = re.compile(r"^/\*\*\n \* DOC: ([^\n]+)\n(.*?)^ \*/\n", re.M | re.S)
# Words of code: a kernel-doc reference, a constant, a function, a member, an identifier
CODE = re.compile(
    r"&(?P<ref>struct \w+(?:\.\w+)*)|%(?P<const>\w+)|(?<![\w`])@(?P<arg>[\w>.-]*\w)|"
    r"(?P<name>(?<![\w/.`])(?:\w+\.)?[a-z_]\w*\(\)|"
    r"(?<![\w/.`])(?:xm_\w+|xmirror_\w+|XM_\w+|xmirror\.\w+)(?:\.\w+)?\b(?!\.[ch]\b)|"
    r"(?<![\w`])(?:[A-Za-z]+/)*\w+\.(?:[ch]|md|ko)\b)")

Section = collections.namedtuple("Section", "title path text code")


def markup(line):
    """A line of text with what is code marked as such."""
    return CODE.sub(lambda m: "`" + next(g for g in m.groups() if g) + "`", line)


def body(comment):
    """The text of a section as Markdown."""
    out, literal = [], False
    for line in comment.splitlines():
        line = line[3:] if line.startswith(" * ") else line.removeprefix(" *")
        if literal and line and not line[0].isspace():
            literal = False
        if literal:
            out.append(("    " + line.expandtabs().removeprefix("    ")).rstrip())
        elif line.endswith("::"):
            literal = True
            out.append(markup(line[:-1]))
        else:
            out.append(markup(line))
    return "\n".join(out).strip("\n")


def sections(path, text):
    """The sections of a file."""
    found = []
    for m in DOC.finditer(text):
        code = ""
        if m[1].startswith("Example"):
            code, end, _ = text[m.end():].partition(END)
            if not end:
                raise Error(f"{path}: \"{m[1]}\" has no line {END}")
            code = code.strip("\n")
        found.append(Section(m[1], path, body(m[2]), code))
    return found


def anchor(title):
    """As a browser of Markdown names a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def render(found):
    """The text of protocol.md."""
    out = ["# The protocol", "",
           "<!-- Made by runner/protocol_doc.py from the DOC sections of the source: do "
           "not", "     edit. -->", "",
           "How a device shares the address space of a process, and which rules of the "
           "kernel's", "mm that takes. Each section stands at the top of the file that "
           "owns its subject.", ""]
    out += [f"- [{s.title}](#{anchor(s.title)})" for s in found]
    for s in found:
        out += ["", f"## {s.title}", "", f"From [{s.path}](../{s.path}).", "", s.text]
        if s.code:
            out += ["", "```c", s.code, "```"]
    return "\n".join(out) + "\n"


def stale_names(top):
    """Functions of ours that a document names, and that the code does not."""
    code = "\n".join(p.read_text() for folder in ("src", "test_driver", "include",
                                                  "samples", "selftests")
                     for p in (top / folder).rglob("*.[ch]"))
    code = re.sub(r"/\*.*?\*/", " ", code, flags=re.S)
    known = set(re.findall(r"\b(?:xm|xt|xmirror)_\w+\b", code))
    wrong = []
    for path in sorted((top / "Documentation").glob("*.md")):
        for name in re.findall(r"\b((?:xm|xt|xmirror)_\w+)\(\)", path.read_text()):
            if name not in known:
                wrong.append(f"{path.name}: there is no {name}()")
    return wrong


def make(top):
    """The document and what is wrong."""
    wrong = []
    for path in [*(top / "src").glob("*.[ch]"), *(top / "include").rglob("*.h")]:
        name = str(path.relative_to(top))
        if name not in FILES and DOC.search(path.read_text()):
            wrong.append(f"{name} has a DOC section and is not in protocol_doc.FILES")
    found = [s for path in FILES for s in sections(path, (top / path).read_text())]
    return render(found), wrong + stale_names(top)


if __name__ == "__main__":
    sys.exit(generated.main(__file__, "protocol.md", make))
