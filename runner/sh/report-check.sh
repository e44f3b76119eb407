#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: report-check.sh [REPORT.html]...
#
# Looks at reports, or at one of sample results, with axe-core in Chromium. Both come
# from npm and Debian and are no part of the project.

. "$(dirname "$0")/lib.sh"

command -v npm >/dev/null || "$XM_SH/deps.sh" npm
"$XM_SH/deps.sh" chromium
pages=() modules=$XM_CACHE/npm shots=$XM_CACHE/report-shots
mkdir -p "$modules" "$shots"
[ -e "$modules/node_modules/puppeteer-core" ] ||
	npm install --prefix "$modules" --silent --no-audit --no-fund --ignore-scripts \
		axe-core@4 puppeteer-core@24
if [ $# = 0 ]; then
	set -- "$shots/sample.html"
	python3 "$XM_TOP/runner/tests/report_sample.py" "$shots/run.json" "$shots/base.json"
	"$XM_TOP/runner/report.py" "$shots/run.json" --base "$shots/base.json" -o "$1"
fi
for page; do
	pages+=("$(realpath "$page")")
done
cd "$modules"
node "$XM_TOP/runner/report_check.mjs" "$shots" "${pages[@]}"
