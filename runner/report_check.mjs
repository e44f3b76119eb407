// SPDX-License-Identifier: GPL-2.0
// usage: report_check.mjs DIRECTORY REPORT.html...
//
// The HTML report in Chromium: axe-core, keyboard, width, and screenshots of each
// section into DIRECTORY. Each page is opened in light and dark, narrow and wide. Run by
// report-check.sh, where puppeteer-core and axe-core are, which are no part of the project.
import {createRequire} from "node:module";
import path from "node:path";
import {pathToFileURL} from "node:url";

const require = createRequire(path.resolve("x"));
const puppeteer = require("puppeteer-core");
const SIZES = {narrow: 390, wide: 1600};
const loads = [];

// How many Tab presses move the focus to another element, of fifty.
async function tabStops(page) {
	const seen = new Set();

	for (let i = 0; i < 50; i++) {
		await page.keyboard.press("Tab");
		seen.add(await page.evaluate(() => [...document.querySelectorAll("*")]
			.indexOf(document.activeElement)));
	}
	return seen.size;
}

// What is wrong with a page in one way to show it.
async function look(page, file, scheme, size, shots) {
	const width = SIZES[size], wrong = [];

	await page.emulateMediaFeatures([{name: "prefers-color-scheme", value: scheme}]);
	await page.setViewport({width, height: 1200});
	loads.length = 0;
	await page.goto(pathToFileURL(file).href);
	const seen = await page.evaluate(() => ({
		scripts: document.scripts.length,
		width: document.documentElement.scrollWidth,
		sections: [...document.querySelectorAll("section")].map(s => s.id)}));
	if (seen.scripts)
		wrong.push("the page has a script");
	if (seen.width > width)
		wrong.push(`the page is wider than ${width} pixels`);
	if (loads.length)
		wrong.push(`the page loads ${loads}`);
	// A report has at least its links and a table.
	const stops = await tabStops(page);
	if (stops < 5)
		wrong.push(`Tab reaches ${stops} elements only`);
	await page.evaluate(() => document.activeElement.blur());
	await page.addScriptTag({path: require.resolve("axe-core/axe.min.js")});
	wrong.push(...await page.evaluate(async () =>
		(await axe.run(document, {resultTypes: ["violations"]})).violations.map(v =>
			`${v.id}: ${v.help} (${v.nodes.length}): ` +
			v.nodes[0].html.slice(0, 120))));
	for (const id of seen.sections) {
		await page.evaluate(id => document.getElementById(id).scrollIntoView(), id);
		await page.screenshot({path: path.join(shots,
			`${path.parse(file).name}-${size}-${scheme}-${id}.png`)});
	}
	return wrong.map(w => `${path.basename(file)}, ${size}, ${scheme}: ${w}`);
}

const [shots, ...files] = process.argv.slice(2);
const browser = await puppeteer.launch({
	executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-quic"]});
const wrong = [];

try {
	const page = await browser.newPage();

	page.on("request", r => {
		if (!r.isNavigationRequest() && !r.url().startsWith("data:"))
			loads.push(r.url());
	});
	for (const file of files)
		for (const scheme of ["light", "dark"])
			for (const size in SIZES)
				wrong.push(...await look(page, file, scheme, size, shots));
} finally {
	await browser.close();
}
wrong.forEach(line => console.log(line));
console.log(`${wrong.length} violations; screenshots in ${shots}`);
process.exit(wrong.length ? 1 : 0);
