# SPDX-License-Identifier: GPL-2.0
"""The sections of the report but the matrix. Each is HTML, or "" if it is empty."""
import collections

from xm import results

from . import findings, lanes, matrix, model
from .page import clock, esc, klass, seconds, table

MAX_CHANGES = 500
WORDS = {"pass": "passed", "fail": "failed", "skip": "skipped",
         "xfail": "failed as expected", "xpass": "passed unexpectedly"}


def code(text):
    """Text of a program."""
    return f"<code>{esc(str(text))}</code>"


def summary(run):
    """The verdict, and where it comes from."""
    count, verdict = run.count(), run.verdict()
    words = ", ".join(f"{count[r]:,} {WORDS[r]}" for r in
                      ("pass", "fail", "xfail", "xpass", "skip") if count[r])
    reports = run.unexpected_reports()
    colour = "pass" if verdict == "passed" else "fail"
    out = (f"<p class=verdict><b class={colour}>{esc(verdict)}</b> "
           f"{words}; {reports or 'no'} unexpected kernel report"
           f"{'' if reports == 1 else 's'}.</p>")
    rows = []
    for k in run.kernels.values():
        count = k.count()
        rows.append([
            esc(k.name), code(k.data.get("release", "")),
            *(esc(str(k.data.get(f, ""))) for f in ("arch", "flavour", "page_size", "accel")),
            *(f"{count[r]:,}" for r in ("pass", "fail", "xfail", "xpass", "skip")),
            clock(k.seconds), "yes" if k.judged is True else (esc(k.judged), "fail")])
    out += table(["kernel", "release", "arch", "flavour", "page size", "accelerator",
                  "passed", "failed", "xfail", "xpass", "skipped", "min:s", "judged"],
                 rows, "kernels", range(6, 12))
    return out + environment(run)


def environment(run):
    """Command, version and machine."""
    rows = []
    for h in run.heads:
        host = ", ".join(f"{k} {v}" for k, v in (h.get("host") or {}).items())
        rows.append([code(" ".join(h.get("command") or [])), esc(h.get("began") or ""),
                     clock(h.get("seconds")), esc(str(h.get("xmirror", ""))), esc(host)])
    logs = [code(log) for k in run.kernels.values() for log in k.logs]
    return (table(["command", "began", "min:s", "xmirror", "host"], rows, "runs") +
            (f"<p class=dim>Logs: {', '.join(logs)}</p>" if logs else ""))


def failures(run, points):
    """Each failed test in full, with the interleaving if it is a cell."""
    out = []
    for k in run.kernels.values():
        for (program, name), t in k.tests.items():
            if t["result"] not in ("fail", "xpass", "xfail"):
                continue
            again = results.repeat(k.run.get("command") or [], k.name,
                                   {"name": program}, t)
            said = [t.get("reason") or "", *(t.get("output") or [])]
            said = "\n".join(s for s in said if s)
            opened = " open" if t["result"] != "xfail" else ""
            text = ""
            if program in (model.MATRIX, model.HOLDS):
                text = matrix.lane_table(name, t, points)
                if text:
                    mail = lanes.as_text(name, t, points, k.name)
                    text += ("<details><summary>the same for a mail</summary>"
                             f"<pre tabindex=0>{esc(mail)}</pre></details>")
            here = matrix.test_anchor(k.name, program, name)
            out.append(
                f"<details id={here}{opened}><summary>{esc(k.name)}: "
                f"{code(program + ':' + name)} <b class={klass(t['result'])}>"
                f"{WORDS[t['result']]}</b></summary>" +
                (f"<pre tabindex=0>{esc(said)}</pre>" if said else "") + text +
                f"<p>Again: {code(again)}</p></details>")
    return "".join(out)


def changed(run, base):
    """The differences from another run."""
    found = model.changes(base, run)
    if not found:
        return "<p>No test ended otherwise than in the other run.</p>"
    rows = [[esc(k), code(f"{p}:{n}"), (esc(b), klass(b)), (esc(a), klass(a))]
            for k, p, n, b, a in found[:MAX_CHANGES]]
    more = len(found) - len(rows)
    return (table(["kernel", "test", "before", "now"], rows, "changes") +
            (f"<p>And {more:,} more that are no worse than the last one.</p>"
             if more else ""))


def known(run, text):
    """Findings x kernels."""
    kernels = list(run.kernels.values())
    rows = []
    for f in findings.read(text):
        row = [str(f.nr), esc(f.title), esc(f.kernels)]
        for k in kernels:
            result, nr, of = findings.state(f, k)
            word = {"xfail": "seen", "pass": "passes", "absent": "–",
                    "skip": "skipped"}.get(result, result)
            count = f" {nr}/{of}" if of > 1 and result != "pass" else ""
            row.append((word + count, klass(result)))
        rows.append(row)
    return ("<p>What the tests of each entry of Documentation/findings.md said: seen "
            "(failed as expected), passes, skipped, or – not run.</p>" +
            table(["nr", "finding", "kernels that have it",
                   *(esc(k.name) for k in kernels)], rows, "findings", (0,)))


def skips(run):
    """Skipped tests by reason."""
    kernels = list(run.kernels.values())
    reasons = collections.defaultdict(lambda: collections.defaultdict(list))
    for k in kernels:
        for (program, name), t in k.tests.items():
            if t["result"] == "skip":
                why = t.get("reason") or "no reason given"
                reasons[why][k.name].append(f"{program}:{name}")
    rows = []
    for why, by in sorted(reasons.items(), key=lambda r: -sum(map(len, r[1].values()))):
        some = list(dict.fromkeys(n for names in by.values() for n in names))
        more = f" and {len(some) - 3:,} more" if len(some) > 3 else ""
        rows.append([esc(why), *(f"{len(by[k.name]):,}" for k in kernels),
                     ", ".join(code(n) for n in some[:3]) + more])
    if not rows:
        return ""
    return table(["reason", *(esc(k.name) for k in kernels), "tests"], rows, "skips",
                 range(1, 1 + len(kernels)))


def slowest(run):
    """The ten slowest programs and tests."""
    programs = [(p.get("seconds"), k.name, p["name"])
                for k in run.kernels.values() for p in k.programs]
    tests = [(t.get("seconds"), k.name, ":".join(key))
             for k in run.kernels.values() for key, t in k.tests.items()]
    out = ""
    for what, rows in (("program", programs), ("test", tests)):
        rows = sorted((r for r in rows if r[0] is not None), reverse=True)[:10]
        if rows:
            out += table([what, "kernel", "seconds"],
                         [[code(n), esc(k), seconds(s)] for s, k, n in rows],
                         f"slowest {what}s", (2,))
    return out


def reports(run):
    """The reports of the kernels."""
    out = []
    for k in run.kernels.values():
        for r in k.reports:
            word = ("<b class=xfail>expected" if r.get("expected") else
                    "<b class=fail>unexpected")
            out.append(f"<details><summary>{esc(k.name)}, {code(r['program'])}: "
                       f"{code(r['line'])} {word}</b></summary>"
                       f"<pre tabindex=0>{esc(r.get('text') or r['line'])}</pre>"
                       "</details>")
    return "".join(out)
