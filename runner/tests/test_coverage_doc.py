# SPDX-License-Identifier: GPL-2.0
"""Tests of coverage_doc.py."""
import pathlib
import tempfile
import unittest

import coverage_doc as doc
import generated

IDS = """# Behaviour
## Bugs
| id | property | note |
| --- | --- | --- |
| E1 | one entry | |
| E2 | another | No test: other architecture |
## B: how an entry ends
| B.reclaim | reclaim takes it | |
"""
CODE = """// SPDX-License-Identifier: GPL-2.0
/*
 * A program. %s
 */
#define ROW2(path, a, ...) \\
	FIXTURE_VARIANT_ADD(end, path) { a }
#define ROW(path, ...)	ROW2(path, 1, __VA_ARGS__)

/* covers: B.reclaim */
ROW2(pageout, 1);
ROW(cold, 2);	/* covers: E1 */

/*
 * covers: E1,
 * B.reclaim
 */
TEST_F(end, row)
{
}

/* covers: E1 */

TEST(alone)
FIXTURE(plain) { int fd; };
/* covers: B.reclaim */
TEST_F_TIMEOUT(plain, slow, 5)
"""


class Scan(unittest.TestCase):
    def test_comments_above_and_beside(self):
        self.assertEqual([("B.reclaim", "end.pageout.row"), ("E1", "end.cold.row"),
                          ("E1", "end.*.row"), ("B.reclaim", "end.*.row"),
                          ("E1", "global.alone"), ("B.reclaim", "plain.slow")],
                         doc.scan(CODE % ""))

    def test_first_comment_is_for_the_program(self):
        self.assertIn(("E1", "*"), doc.scan(CODE % "covers: E1"))

    def test_fixture_in_a_header(self):
        shared = CODE[CODE.index("#define"):CODE.index("/* covers: B")] + \
            "TEST_F(end, row)\n"
        self.assertEqual([("E1", "end.a.row")], doc.scan(
            "// x\n/* program */\n/* covers: E1 */\nROW(a, 1);\n", shared))

    def test_cells_of_the_matrix(self):
        self.assertEqual([("B.reclaim", "*.unmap.*")], doc.scan(
            "/* x */\n/* y */\n\tOP(unmap, 1),\t/* covers: B.reclaim */\n"))

    def test_comment_above_no_test(self):
        with self.assertRaisesRegex(doc.Error, "line 4"):
            doc.scan("/* x */\n/* y */\n/* covers: E1 */\nstatic int x;\n")

    def test_program_names(self):
        folders = ["race/matrix", "demo"]
        for path, name in (("race/matrix/cell.c", "race_matrix"),
                           ("race/fault.c", "race_fault"), ("demo/x.c", "demo")):
            self.assertEqual(name, doc.program_of(path, folders))


class Document(unittest.TestCase):
    def test_ids(self):
        ids = doc.read_ids(IDS)
        self.assertEqual(["E1", "E2", "B.reclaim"], list(ids))
        self.assertEqual("B: how an entry ends", ids["B.reclaim"].section)
        with self.assertRaises(doc.Error):
            doc.read_ids(IDS + "| E1 | again | |\n")

    def test_problems(self):
        ids = doc.read_ids(IDS)
        self.assertEqual([], doc.problems(ids, {"E1": {}, "B.reclaim": {}}))
        found = "\n".join(doc.problems(ids, {"E1": {}, "E2": {}, "X9": {}}))
        for i in ("E2", "X9", "B.reclaim"):
            self.assertIn(i + ":", found)

    def test_text(self):
        text = doc.render(doc.read_ids(IDS), {"E1": {"a_b": ["x.y", "x.z"]}})
        self.assertIn("| E1 | one entry | `a_b: x.y`, `a_b: x.z` |", text)
        self.assertIn("| E2 | another | No test: other architecture |", text)

    def main(self, argv):
        return generated.main(doc.__file__, "coverage.md", doc.make, argv)

    def test_check_sees_what_is_not_current(self):
        with tempfile.TemporaryDirectory() as name:
            top = pathlib.Path(name)
            (top / "Documentation").mkdir()
            (top / "selftests/a").mkdir(parents=True)
            (top / "Documentation/behaviour.md").write_text(IDS)
            source = top / "selftests/a/b.c"
            source.write_text(CODE % "")
            self.assertEqual(0, self.main(["--top", name]))
            self.assertEqual(0, self.main(["--top", name, "--check"]))
            source.write_text(CODE % "covers: E1")
            self.assertEqual(1, self.main(["--top", name, "--check"]))
