# SPDX-License-Identifier: GPL-2.0
"""The common part of the scripts that make a document from the tree.

Without an option such a script writes its document. --check writes nothing, and says
what is wrong and whether the document is current, for make lint.
"""
import argparse
import pathlib


class Error(Exception):
    """The mistake, as a message for the user."""


def main(script, name, make, argv=None):
    """0, 1 if something is wrong. MAKE: from the top of the repository to the text of
    Documentation/NAME and a list of problems."""
    script = pathlib.Path(script)
    parser = argparse.ArgumentParser(
        prog=script.name, formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Write Documentation/{name}.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--top", type=pathlib.Path, help="of the repository",
                        default=script.resolve().parent.parent)
    args = parser.parse_args(argv)
    path = args.top / "Documentation" / name
    try:
        text, wrong = make(args.top)
    except Error as e:
        print(e)
        return 1
    if not args.check:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        wrong.append(f"{path.name} is not current: runner/{script.name} writes it")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0
