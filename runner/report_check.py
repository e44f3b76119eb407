#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The HTML report in a browser: axe-core, keyboard, width, and screenshots.

Needs Debian's chromium and npm; axe-core is installed into the cache, from npm, and
is no part of the project. Each page is opened in light and dark, narrow and wide,
with scripts of its own disabled. Screenshots are kept in the directory that is named
at the end.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

AXE = "axe-core@4"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                     pathlib.Path.home() / ".cache") / "xmirror"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-pipe")
SIZES = {"narrow": 390, "wide": 1600}
HEIGHT = 1200


class Failure(Exception):
    """The check can't be made."""


class Browser:
    """Chromium, driven by its DevTools protocol over a pipe."""

    def __init__(self):
        program = shutil.which("chromium")
        if not program:
            raise Failure("no chromium: apt-get install chromium")
        self.profile = tempfile.TemporaryDirectory()
        to_child, self.write_fd = os.pipe()
        self.read_fd, from_child = os.pipe()
        pipes = f"exec 3<&{to_child} 4>&{from_child} && exec \"$@\""
        self.process = subprocess.Popen(
            ["bash", "-c", pipes, "-", program, *FLAGS,
             f"--user-data-dir={self.profile.name}"],
            pass_fds=(to_child, from_child), stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)
        self.input, self.nr, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        self.call("Page.enable")

    def message(self):
        """The next one from the browser."""
        while b"\0" not in self.input:
            more = os.read(self.read_fd, 1 << 20)
            if not more:
                raise Failure("chromium has ended")
            self.input += more
        text, self.input = self.input.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        """Call a method and wait for its result."""
        self.nr += 1
        message = {"id": self.nr, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_fd, data):]
        while True:
            m = self.message()
            if m.get("id") == self.nr:
                if "error" in m:
                    raise Failure(f"{method}: {m['error']['message']}")
                return m["result"]
            self.events.append(m.get("method"))

    def open(self, url):
        """Load a page and wait until it is there."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self.events:
            self.events.append(self.message().get("method"))

    def evaluate(self, text):
        """The value of an expression or a promise in the page."""
        r = self.call("Runtime.evaluate", expression=text, awaitPromise=True,
                      returnByValue=True)
        if "exceptionDetails" in r:
            raise Failure(str(r["exceptionDetails"]))
        return r["result"].get("value")

    def close(self):
        """End the browser."""
        self.process.terminate()
        self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        self.profile.cleanup()


def axe_source():
    """The text of axe-core, installed if it has to be."""
    folder = CACHE / "axe"
    path = folder / "node_modules/axe-core/axe.min.js"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund",
                        "--prefix", str(folder), AXE], check=True)
    return path.read_text(encoding="utf-8")


def tab_stops(browser):
    """How many Tab presses move the focus to another element, of fifty."""
    seen = set()
    for _ in range(50):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                         windowsVirtualKeyCode=9)
        seen.add(browser.evaluate(
            "(() => { const all = [...document.querySelectorAll('*')];"
            " return all.indexOf(document.activeElement); })()"))
    return len(seen)


def look(browser, axe, path, scheme, size, shots):
    """What is wrong with a page in one way to show it, as lines."""
    width, wrong = SIZES[size], []
    browser.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": scheme}])
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=HEIGHT,
                 deviceScaleFactor=1, mobile=False)
    browser.open(path.resolve().as_uri())
    if browser.evaluate("document.scripts.length"):
        wrong.append("the page has a script")
    if browser.evaluate("document.documentElement.scrollWidth") > width:
        wrong.append(f"the page is wider than {width} pixels")
    if browser.evaluate("performance.getEntriesByType('resource').length"):
        wrong.append("the page loads something")
    stops = tab_stops(browser)
    # A report has at least its links and a table.
    if stops < 5:
        wrong.append(f"Tab reaches {stops} elements only")
    browser.evaluate("document.activeElement.blur()")
    browser.evaluate(axe)
    result = browser.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map("
        "v => v.id + ': ' + v.help + ' (' + v.nodes.length + '): ' +"
        " v.nodes[0].html.slice(0, 120)))")
    wrong += result
    sections = browser.evaluate(
        "[...document.querySelectorAll('section')].map(s => s.id)")
    for section in sections:
        browser.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        png = browser.call("Page.captureScreenshot")["data"]
        name = f"{path.stem}-{size}-{scheme}-{section}.png"
        (shots / name).write_bytes(base64.b64decode(png))
    return [f"{path.name}, {size}, {scheme}: {w}" for w in wrong]


def sample(folder):
    """A page with all sections."""
    names = [str(folder / name) for name in ("run.json", "base.json")]
    here = pathlib.Path(__file__).resolve().parent
    subprocess.run([sys.executable, here / "tests/report_sample.py", "--small", *names],
                   check=True)
    page = folder / "sample.html"
    subprocess.run([sys.executable, here / "report.py", names[0], "--base", names[1],
                    "-o", page], check=True)
    return page


def main():
    """0 if nothing is wrong, 1, or 2 if the check can't be made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=pathlib.Path, metavar="REPORT.html",
                        help="the pages (one made of sample results)")
    parser.add_argument("--shots", type=pathlib.Path, default=CACHE / "report-shots",
                        help="directory of the screenshots")
    args = parser.parse_args()
    args.shots.mkdir(parents=True, exist_ok=True)
    wrong, browser = [], None
    try:
        axe = axe_source()
        pages = args.pages or [sample(args.shots)]
        browser = Browser()
        for path in pages:
            for scheme in ("light", "dark"):
                for size in SIZES:
                    wrong += look(browser, axe, path, scheme, size, args.shots)
    except (Failure, OSError, subprocess.CalledProcessError) as e:
        print(f"report_check.py: {e}", file=sys.stderr)
        return 2
    finally:
        if browser:
            browser.close()
    for line in wrong:
        print(line)
    print(f"{len(wrong)} violations; screenshots in {args.shots}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
