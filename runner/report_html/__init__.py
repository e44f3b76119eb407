# SPDX-License-Identifier: GPL-2.0
"""The HTML report of a run, made from results.json; see runner/report.py."""
