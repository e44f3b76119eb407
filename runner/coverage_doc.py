#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Documentation/coverage.md: which test covers which id of the documents.

usage: coverage_doc.py [--check] [--top DIR]

The ids are the first cells of the tables in Documentation/behaviour.md and reports.md.
A test names them in a comment:

    /* covers: E7, F.soft_dirty */
    TEST_F(...)

The comment stands above or beside a test, a fixture, a variant or a line of a
table, such as ROW(), and counts for that one. In the first comment of a file it
counts for the whole program.

Without an option the file is written. --check says whether it is current, that
each id in a comment is one, and that each id is covered or says why not.
"""
import collections
import pathlib
import re
import sys

import generated
from generated import Error

ID = r"(?:[A-Z][0-9]+[a-z]?|[A-Z]\.[a-z0-9_]+)"
COVERS = re.compile(r"covers:\s*(%s(?:\s*,[\s*]*%s)*)" % (ID, ID))
NONE = "No test:"
IDS = ("behaviour.md", "reports.md")

Id = collections.namedtuple("Id", "id text note section")


def read_ids(text):
    """The ids of the documents, in order."""
    ids, section = {}, ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line[3:].strip()
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|") or not re.fullmatch(ID, cells[0]):
            continue
        if cells[0] in ids:
            raise Error(f"{cells[0]} is there twice")
        note = cells[-1] if len(cells) > 2 else ""
        ids[cells[0]] = Id(cells[0], cells[1], note, section)
    return ids


def program_of(path, folders):
    """The name of the program that a source file, relative to selftests/, is of."""
    for folder in folders:
        if path.startswith(folder + "/"):
            return folder.replace("/", "_")
    return path[:-2].replace("/", "_")


def blank_comments(text):
    """text with its comments blanked out, of the same length."""
    return re.sub(r"/\*.*?\*/|//[^\n]*",
                  lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def macros_of(code):
    """Macros that add a variant: name -> its fixture. One may use another."""
    code = code.replace("\\\n", "  ")
    found = {}
    for m in re.finditer(r"^#define (\w+)\((\w+)[^)]*\)(.*)$", code, re.M):
        name, first, body = m.groups()
        add = re.search(r"FIXTURE_VARIANT_ADD\((\w+),\s*%s\b" % first, body)
        use = re.match(r"\s*(\w+)\(%s\b" % first, body)
        if add:
            found[name] = add[1]
        elif use and use[1] in found:
            found[name] = found[use[1]]
    return found


def declarations(code, shared=""):
    """The globs that name the tests of the declarations of a file, by their lines; shared:
    the fixture headers it includes."""
    both = shared + "\n" + code
    macros = macros_of(both)
    tests, variants = collections.defaultdict(list), set()
    for fixture, test in re.findall(r"^TEST_F\w*\((\w+),\s*(\w+)", both, re.M):
        tests[fixture].append(test)
    for macro, first in re.findall(r"^(\w+)\((\w+)", both, re.M):
        if macro in {"FIXTURE_VARIANT_ADD", *macros}:
            variants.add(macros.get(macro, first))

    def globs(fixture, variant=None, test=None):
        names = [test] if test else tests[fixture]
        if len(names) != 1:
            names = ["*"]
        if variant is None and fixture in variants:
            variant = "*"
        return [".".join(filter(None, (fixture, variant, n))) for n in names]

    found = {}
    for m in re.finditer(r"^(\t?)(\w+)\((\w+)(?:,\s*(\w+))?[^\n]*", code, re.M):
        macro, first, second = m[2], m[3], m[4]
        if m[1] and macro != "OP":
            continue
        if macro == "TEST":
            names = ["global." + first]
        elif macro in ("TEST_F", "TEST_F_TIMEOUT", "TEST_F_SIGNAL"):
            names = globs(first, test=second)
        elif macro == "FIXTURE":
            names = globs(first)
        elif macro == "FIXTURE_VARIANT_ADD":
            names = globs(first, second)
        elif macro in macros:
            names = globs(macros[macro], first)
        elif macro == "OP":
            names = [f"*.{first}.*"]
        else:
            continue
        found[code.count("\n", 0, m.start())] = names
    return found


def scan(code_with_comments, shared=""):
    """The comments of a file: a list of (id, glob or "*")."""
    text = code_with_comments
    code = blank_comments(text)
    by_line = declarations(code, blank_comments(shared))
    lines = code.splitlines()
    found = []
    comments = list(re.finditer(r"/\*.*?\*/", text, re.S))
    for nr, c in enumerate(comments):
        for m in COVERS.finditer(c.group()):
            ids = re.findall(ID, m[1])
            if nr == 0 or (nr == 1 and "SPDX" in comments[0].group()):
                names = ["*"]
            else:
                line = text.count("\n", 0, c.start())
                if not lines[line].strip():
                    line = text.count("\n", 0, c.end()) + 1
                    while line < len(lines) and not lines[line].strip():
                        line += 1
                if line not in by_line:
                    raise Error(f"line {line + 1}: \"covers: {m[1]}\" is above no test")
                names = by_line[line]
            found += [(i, n) for i in ids for n in names]
    return found


def read_tests(top):
    """All comments of selftests/: id -> {program: globs}."""
    root = top / "selftests"
    paths = sorted(str(p.relative_to(root)) for p in root.rglob("*.[ch]")
                   if "out" not in p.relative_to(root).parts)
    folders = [p[:-len("/main.c")] for p in paths if p.endswith("/main.c")]
    covered = collections.defaultdict(dict)
    for path in paths:
        if path.startswith("lib/"):
            continue
        text = (root / path).read_text()
        shared = ""
        for name in re.findall(r'^#include "([\w.]+)"', text, re.M):
            header = root / pathlib.Path(path).parent / name
            if header.exists():
                shared += header.read_text()
        try:
            for i, glob in scan(text, shared):
                globs = covered[i].setdefault(program_of(path, folders), [])
                if glob not in globs:
                    globs.append(glob)
        except Error as e:
            raise Error(f"selftests/{path}: {e}") from None
    return covered


def render(ids, covered):
    """The text of coverage.md."""
    out = ["# Coverage", "",
           "<!-- Made by runner/coverage_doc.py from the `covers:` comments of the "
           "tests", "     and the ids of behaviour.md and reports.md: do not edit. -->", "",
           "Which test covers which known bug, which row of the tables of `behaviour.md` "
           "and", "which of `reports.md`, which say what each id means. A test is a program, "
           "a colon", "and a glob of its tests; `make check TESTS='PROGRAM:GLOB'` runs it."]
    section = None
    for i in ids.values():
        if i.section != section:
            section = i.section
            out += ["", "## " + section, "", "| id | property | tests |",
                    "| --- | --- | --- |"]
        tests = [f"`{program}: {glob}`" for program, globs
                 in sorted(covered.get(i.id, {}).items()) for glob in globs]
        if not tests and NONE in i.note:
            tests = [i.note[i.note.index(NONE):]]
        out.append(f"| {i.id} | {i.text} | {', '.join(tests)} |")
    return "\n".join(out) + "\n"


def problems(ids, covered):
    """The mistakes in the ids, as a list of lines."""
    found = [f"{i}: a test covers it, and {' and '.join(IDS)} do not have it"
             for i in sorted(covered) if i not in ids]
    for i in ids.values():
        if i.id in covered and NONE in i.note:
            found.append(f"{i.id}: its document says that it has no test, and it has")
        if i.id not in covered and NONE not in i.note:
            found.append(f"{i.id}: no test covers it, and its document "
                         f"does not say why (\"{NONE} reason\")")
    return found


def make(top):
    """The document and what is wrong."""
    ids = read_ids("\n".join((top / "Documentation" / name).read_text() for name in IDS
                             if (top / "Documentation" / name).exists()))
    covered = read_tests(top)
    return render(ids, covered), problems(ids, covered)


if __name__ == "__main__":
    sys.exit(generated.main(__file__, "coverage.md", make))
