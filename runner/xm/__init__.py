# SPDX-License-Identifier: GPL-2.0
"""The runner of xmirror's test suite.

util      paths, messages, locks, the shell scripts in runner/sh
kernels   the table of kernels and the table of machines
build     modules, programs, hmm-tests, initramfs: what a guest boots
guest     one QEMU guest: boot it, talk to it, end it, keep its logs
judge     logs of a guest -> programs, tests, kernel reports
skips     the skips that are expected of a kernel
results   results.json, its format, and all that is made from it
check     choose programs, share them among guests, show the progress
mutants, planted, coverage, peer, bisect, bench    the other commands that judge
cli       the command line
"""
