#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: judge.sh LOGDIR
#
# Judges a finished run from its logs alone and exits nonzero unless all is
# well. Prints a line per failure ("failed: PROGRAM: TEST") and per expected
# failure, and last "N passed, N failed, N skipped".
#
# LOGDIR has console.log (kernel log), result.log (what the programs printed)
# and end ("mode check|run", "qemu STATUS", "deadline SECONDS").

set -euo pipefail
dir=$1

awk -v dir="$dir" '
function fail(program, what) {
	failed++
	print "failed: " program ": " what
}

# --- the kernel log -------------------------------------------------------

# What makes a line the start of a report by the kernel.
function is_splat(s) {
	# A fault of a program.
	if (s ~ /^traps: /)
		return 0
	return s ~ /BUG:|WARNING:|KASAN:|UBSAN:|KCSAN:|kernel BUG at|Oops|general protection fault|stack segment|double fault|Kernel panic|INFO: possible|INFO: task .* blocked for more than|INFO: trying to register non-static key|possible circular locking|possible recursive locking|inconsistent lock state|suspicious RCU usage|sleeping function called from invalid context|scheduling while atomic|Bad rss-counter|Bad page (state|map)|page dumped because|list_(add|del) corruption|refcount_t:|kmemleak: .* new suspected|unreferenced object|soft lockup|hard LOCKUP|detected (expedited )?stalls|self-detected stall|ODEBUG:|Bad swap (file|offset) entry|Objects remaining in|EXT4-fs error|Out of memory and no killable|nobody cared/
}

# Reports that say nothing about the modules. The stack dump that follows one
# belongs to it.
#  - the call for exclusive access cannot wait for userfaultfd, and a kernel
#    with DEBUG_VM says so
#  - injected failures, failed allocations and the OOM killer are what some
#    tests are about
function is_harmless(s) {
	return s ~ /FAULT_FLAG_ALLOW_RETRY missing|FAULT_INJECTION: forcing a failure|page allocation failure|invoked oom-killer/
}

function console(file,    s, t, program, last, harmless, known, known_seen,
		 in_known) {
	program = "boot"
	last = -10
	while ((getline s < file) > 0) {
		sub(/\r$/, "", s)
		t = -1
		if (match(s, /^\[ *[0-9]+\.[0-9]+\]/)) {
			t = substr(s, 2, RLENGTH - 2) + 0
			sub(/^\[ *[0-9.]+\](\[ *[TC][0-9]+\])? /, "", s)
		}
		if (s ~ /^xmirror-test: begin /) {
			program = s
			sub(/.*begin /, "", program)
			began[program] = 1
			in_known = 0
			continue
		}
		if (s ~ /^xmirror-test: end /) {
			program = "after " program
			known = ""
			in_known = 0
			continue
		}
		# A test says which report of the kernel it is about to cause.
		if (sub(/^xmirror-test: expect /, "", s)) {
			known = s
			known_seen = 0
			continue
		}
		if (in_known && s !~ /KASAN:/) {
			in_known = s !~ /---\[ end trace/
		} else if (known != "" && is_splat(s) && index(s, known) &&
			   s !~ /KASAN:/) {
			in_known = 1
			# The same again is no other failure.
			if (!known_seen++) {
				passed++
				print "expected failure: " program \
					": kernel log: " s
			}
		} else if (is_harmless(s)) {
			harmless = NR_console + 20
		} else if (is_splat(s) || (s ~ /Call Trace:/ && NR_console > harmless)) {
			# One report has several such lines.
			if (t < 0 || t > last + 1)
				fail(program, "kernel log: " s)
			if (t >= 0)
				last = t
		}
		NR_console++
	}
	close(file)
}

# --- the TAP --------------------------------------------------------------

function end_program(status) {
	if (program == "")
		return
	if (status == "")
		fail(program, "did not end")
	else if (skip_all && (status == 0 || status == 4))
		skipped++
	else if (!seen && planned < 0)
		fail(program, "no results, exit status " status)
	else if (planned < 0)
		fail(program, "no plan")
	else if (planned != seen)
		fail(program, "planned " planned " tests, saw " seen)
	else if (status != 0 && !notok && !(status == 4 && seen == skips))
		fail(program, "exit status " status " without a failed test")
	if (status != "")
		finished[program] = 1
	program = ""
}

function result(s,    ok, note, name) {
	ok = s ~ /^ok/
	seen++
	name = s
	sub(/^(not )?ok +[0-9]* *(- )?/, "", name)
	note = toupper(s)
	if (note ~ /# *SKIP/) {
		skips++
		if (ok) {
			skipped++
			return
		}
	}
	if (note ~ /# *(XFAIL|TODO)/) {
		passed++
		if (!ok)
			notok++
		print "expected failure: " program ": " name
	} else if (ok) {
		passed++
	} else {
		notok++
		fail(program, name)
	}
}

function results(file,    s, w) {
	while ((getline s < file) > 0) {
		sub(/\r$/, "", s)
		if (s ~ /^# test: /) {
			end_program("")
			program = substr(s, 9)
			planned = -1
			seen = notok = skips = skip_all = 0
		} else if (s ~ /^# exit: /) {
			split(s, w, " ")
			if (mode == "run") {
				ended = 1
				if (w[4] != 0)
					fail("run", "exit status " w[4])
				else
					passed++
			} else if (w[3] == program) {
				end_program(w[4])
			}
		} else if (s == "# xmirror: done") {
			done = 1
		} else if (s ~ /^# cannot load the modules/) {
			fail("load", "cannot load the modules")
		} else if (s ~ /^# left processes behind/) {
			fail(program, "left processes behind")
		} else if (mode == "check" && s ~ /^1\.\.[0-9]+/) {
			planned = substr(s, 4) + 0
			if (planned == 0 && toupper(s) ~ /# *SKIP/)
				skip_all = 1
		} else if (mode == "check" && s ~ /^(not )?ok( |$)/) {
			result(s)
		}
	}
	close(file)
	last_program = program
	end_program("")
}

BEGIN {
	mode = "check"
	qemu = "missing"
	while ((getline s < (dir "/end")) > 0) {
		split(s, w, " ")
		if (w[1] == "mode")
			mode = w[2]
		else if (w[1] == "qemu")
			qemu = w[2]
		else if (w[1] == "deadline")
			deadline = w[2]
	}
	passed = failed = skipped = 0
	results(dir "/result.log")
	if (mode == "run" && !ended)
		fail("run", "did not end")
	if (qemu == 124 || qemu == 137)
		fail("guest", "still running after " deadline " seconds")
	else if (qemu != 0)
		fail("guest", "QEMU ended with status " qemu)
	else if (!done)
		fail("guest", "ended early" \
			(last_program == "" ? "" : ", in " last_program))
	console(dir "/console.log")
	# Then reports of the kernel would not be seen either.
	for (name in finished)
		if (!(name in began)) {
			fail("guest", "the kernel log does not mention " name)
			break
		}
	if (!passed && !failed && !skipped)
		fail("guest", "nothing was run")
	if (failed)
		print "logs: " dir
	print passed " passed, " failed " failed, " skipped " skipped"
	exit failed != 0
}'
