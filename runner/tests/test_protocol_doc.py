# SPDX-License-Identifier: GPL-2.0
"""Tests of protocol_doc.py."""
import pathlib
import tempfile
import unittest

import protocol_doc as doc

SOURCE = """// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: A subject
 *
 * &struct xmirror_ops.map. calls xm_thing() with %NULL, see @arg and mm/rmap.c::
 *
 *	as *it*   is
 *	  more()
 *
 * - *last*: done()
 */

/**
 * DOC: Example of it
 *
 * Text.
 */
int x(void)
{
}

/* End of the example. */
int y;
"""


class Sections(unittest.TestCase):
    def test_text(self):
        first = doc.sections("a.c", SOURCE)[0]
        self.assertEqual("A subject", first.title)
        self.assertEqual(
            "`struct xmirror_ops.map`. calls `xm_thing()` with `NULL`, see `arg` and "
            "`mm/rmap.c`:\n\n        as *it*   is\n          more()\n\n"
            "- *last*: `done()`", first.text)

    def test_example_has_its_code(self):
        first, second = doc.sections("a.c", SOURCE)
        self.assertEqual("", first.code)
        self.assertEqual("int x(void)\n{\n}", second.code)
        with self.assertRaisesRegex(doc.Error, "Example of it"):
            doc.sections("a.c", SOURCE.replace(doc.END, ""))

    def test_document(self):
        text = doc.render(doc.sections("a.c", SOURCE))
        self.assertIn("- [Example of it](#example-of-it)", text)
        self.assertIn("## A subject\n\nFrom [a.c](../a.c).\n", text)
        self.assertIn("```c\nint x(void)\n{\n}\n```\n", text)


class Names(unittest.TestCase):
    def test_function_that_is_no_more(self):
        with tempfile.TemporaryDirectory() as name:
            top = pathlib.Path(name)
            (top / "Documentation").mkdir()
            (top / "src").mkdir()
            (top / "src/a.c").write_text("/* xm_gone() */ int xm_there(void);\n")
            (top / "Documentation/a.md").write_text("`xm_there()`, `xm_gone()`\n")
            self.assertEqual(["a.md: there is no xm_gone()"], doc.stale_names(top))
