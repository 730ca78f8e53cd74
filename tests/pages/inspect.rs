//! What every page must be: quiet, within the screen, legible, with links that lead somewhere and a
//! structure that a screen reader can tell.
//!
//! In: a page that is open. Out: nothing, or every complaint in one failure.

use libtest_mimic::Failed;

use crate::browser::View;

/// Elements that stick out of the window and are in no box that scrolls or clips by itself.
const OVERFLOW: &str = r"(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const boxed = e => { for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
  const out = [...document.body.querySelectorAll('*')]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !boxed(e))
    .map(e => `<${e.tagName.toLowerCase()} class='${e.getAttribute('class') ?? ''}'> ends at ` +
      `${Math.round(e.getBoundingClientRect().right)} of ${width}: ${e.textContent.slice(0, 40)}`);
  return out.length ? out.slice(0, 8) : [`the page is ${document.documentElement.scrollWidth} wide`];
})()";

/// Text whose contrast with what lies behind it is below 4.5 (WCAG 2 AA).
const CONTRAST: &str = r"(() => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const parsed = new Map();
  const parse = text => { if (!parsed.has(text)) { pen.clearRect(0, 0, 1, 1); pen.fillStyle = text;
      pen.fillRect(0, 0, 1, 1); const d = pen.getImageData(0, 0, 1, 1).data;
      parsed.set(text, [d[0], d[1], d[2], d[3] / 255]); } return parsed.get(text); };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const white = matchMedia('(prefers-color-scheme: dark)').matches && !matchMedia('print').matches
    ? [18, 18, 18] : [255, 255, 255];
  const behind = new Map();
  const background = e => { if (!e) return white; if (!behind.has(e)) {
      const own = parse(getComputedStyle(e).backgroundColor);
      behind.set(e, over(own, background(e.parentElement))); } return behind.get(e); };
  const light = c => { const l = c.map(v => (v /= 255) <= .04045 ? v / 12.92 :
      ((v + .055) / 1.055) ** 2.4); return .2126 * l[0] + .7152 * l[1] + .0722 * l[2]; };
  const found = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || e.closest('style, script, defs') || !e.checkVisibility()) continue;
    const style = getComputedStyle(e);
    const colour = parse(e.closest('svg') ? style.fill : style.color);
    const under = background(e);
    const pair = [light(over(colour, under)), light(under)].sort((a, b) => b - a);
    const ratio = (pair[0] + .05) / (pair[1] + .05);
    if (ratio < 4.5) found.set(`<${e.tagName.toLowerCase()} class='${e.getAttribute('class') ?? ''}'> ` +
      `${ratio.toFixed(1)}: ${n.data.trim().slice(0, 40)}`, 1);
  }
  return [...found.keys()].slice(0, 8);
})()";

/// Links within the page that lead nowhere, ids that are there twice.
const ANCHORS: &str = r"(() => {
  const ids = new Map();
  for (const e of document.querySelectorAll('[id]')) ids.set(e.id, (ids.get(e.id) ?? 0) + 1);
  const lost = [...document.querySelectorAll('a[href^=\'#\']')]
    .map(a => decodeURIComponent(a.getAttribute('href').slice(1)))
    .filter(id => !ids.has(id)).map(id => `#${id} leads nowhere`);
  const twice = [...ids].filter(([, n]) => n > 1).map(([id, n]) => `id ${id} is there ${n} times`);
  return [...new Set([...lost, ...twice])].slice(0, 8);
})()";

/// What a screen reader would miss.
const STRUCTURE: &str = r"(() => {
  const wrong = [];
  const want = (holds, words) => { if (!holds) wrong.push(words); };
  want(document.documentElement.lang, 'no language');
  want(document.title.trim(), 'no title');
  want(document.querySelectorAll('h1').length === 1, 'not one h1');
  want(document.querySelectorAll('main').length === 1, 'not one main landmark');
  want(document.scripts.length === 0, 'a script');
  for (const svg of document.querySelectorAll('svg'))
    want(svg.closest('[aria-hidden=true]') || (svg.getAttribute('role') === 'img' &&
      (svg.getAttribute('aria-label') || svg.querySelector('title'))),
      `a picture without words: ${svg.outerHTML.slice(0, 80)}`);
  for (const table of document.querySelectorAll('table'))
    want(table.querySelector('th'), `a table without headers: ${table.textContent.slice(0, 60)}`);
  for (const field of document.querySelectorAll('input'))
    want(field.closest('label'), `a field without a label: ${field.name}`);
  return [...new Set(wrong)].slice(0, 8);
})()";

/// Checks everything.
pub(crate) fn inspect(view: &View) -> Result<(), Failed> {
    let mut complaints: Vec<String> = view.console();
    for (about, question) in [
        ("sticks out", OVERFLOW),
        ("is hard to read", CONTRAST),
        ("link", ANCHORS),
        ("structure", STRUCTURE),
    ] {
        let found: Vec<String> = view.ask(question)?;
        complaints.extend(found.into_iter().map(|found| format!("{about}: {found}")));
    }
    demand(complaints.is_empty(), &complaints.join("\n"))
}

/// Fails with `words` unless it holds.
pub(crate) fn demand(holds: bool, words: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(words.into()) }
}
