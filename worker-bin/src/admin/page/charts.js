// The last minutes of each stage.
const WINDOW_S = 300;
let points = new Map();
let hover = null;

function loadHistory(history) {
  points = new Map(Object.entries(history.recent).map(([stage, list]) => [stage, list.filter((p) => p.at_s >= 0)]));
}

// One more second of each stage, from what was counted since the event before.
function notePoint(view, before) {
  const now = view.status.uptime_s;
  const seconds = before ? now - before.status.uptime_s : 0;
  if (seconds <= 0.2) return;
  for (const stage of view.stages.filter((s) => s.here.length)) {
    const old = before.byName.get(stage.name);
    if (!old) continue;
    if (!points.has(stage.name)) points.set(stage.name, []);
    const list = points.get(stage.name);
    if (list.length && list[list.length - 1].at_s >= now - 0.3) continue;
    const per = (field) => Math.max(0, stage[field] - old[field]) / seconds;
    list.push({ at_s: now, in_per_s: per("done_records"), out_per_s: per("records_out"), queued_records: stage.queued_records,
      held_records: stage.held, busy: stage.busy, stalled: stage.here.some((task) => task.raw.stalled) });
    while (list.length > 2 && list[0].at_s < now - WINDOW_S - 5) list.shift();
  }
}

function renderCharts(view) {
  const end = view.status.uptime_s;
  const begin = Math.max(0, end - WINDOW_S);
  const stages = view.stages.filter((stage) => stage.here.length);
  write("charts-title", end < WINDOW_S ? "Since the start, " + duration(end) : "The last five minutes");
  show("plots", stages.map((stage) => plot(view, stage, (points.get(stage.name) || []).filter((p) => p.at_s >= begin - 1), begin, end)));
}

// Work that ends in lumps, as that of large batches, at the rate over the time of the lump; a rest and a stall stay what they are.
function evened(list, field) {
  const rates = list.map((p) => p[field]);
  let [since, apart] = [0, 0];
  const isWork = (from, to) => list.slice(from, to).every((p) => !p.stalled)
    && (list.slice(from, to).every((p) => p.busy >= 0.5) || (from > 0 && list[to].at_s - list[from].at_s < 5));
  rates.forEach((rate, at) => {
    if (rate === 0) return;
    if (at > since && isWork(since, at)) {
      apart = at - since;
      rates.fill(rate / (apart + 1), since, at + 1);
    }
    since = at + 1;
  });
  // The next lump is not there yet.
  if (since > 0 && rates.length - since <= apart) rates.fill(rates[since - 1], since);
  return list.map((p, at) => ({ ...p, [field]: apart > 0 ? meanOfWork(rates, at) : rates[at] }));
}

// Lumps fall into seconds unevenly: the mean of four before and behind, as far as work reaches without a rest.
function meanOfWork(rates, at) {
  let [from, to] = [at, at];
  while (from > 0 && at - from < 4 && rates[from - 1] > 0) from -= 1;
  while (to < rates.length && to - at < 5 && rates[to] > 0) to += 1;
  return to > at ? rates.slice(from, to).reduce((a, b) => a + b, 0) / (to - from) : 0;
}

function plot(view, stage, points, begin, end) {
  const list = evened(evened(points, "in_per_s"), "out_per_s");
  const span = Math.max(1, end - begin);
  const x = (s) => Math.max(0, Math.min(300, ((s - begin) / span) * 300));
  const at = hover === null ? null : begin + hover * span;
  const shown = at === null ? list[list.length - 1] : list.reduce((best, p) => (best && Math.abs(best.at_s - at) <= Math.abs(p.at_s - at) ? best : p), null);
  // What a source of all its records takes and a sink gives on is the same as what it does, or nothing.
  const single = (stage.kind === "source" && stage.left_out_records === 0) || stage.kind === "sink";
  const rates = single ? ["in_per_s"] : ["in_per_s", "out_per_s"];
  const most = (fields) => Math.max(0, ...list.flatMap((p) => fields.map((field) => p[field])));
  const [topRate, topQueue] = [most(rates), most(["queued_records", "held_records"])];
  const stalls = list.map((p, i) => (p.stalled && i > 0 ? h("rect", { class: "stall", x: x(list[i - 1].at_s), y: 0, width: Math.max(0.5, x(p.at_s) - x(list[i - 1].at_s)), height: 100 }) : null));
  const mark = at === null ? null : h("line", { class: "at", x1: hover * 300, x2: hover * 300, y1: 0, y2: 100 });
  const grid = [75, 150, 225].map((at) => h("line", { class: "grid", x1: at, x2: at, y1: 0, y2: 100 }));
  const pane = (low, name, top, lines) => h("div", { class: "pane" + (low ? " low" : "") },
    h("div", { class: "scale", "aria-hidden": "true" }, h("span", null, name), h("span", null, top)),
    h("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", "aria-hidden": "true" }, grid, h("line", { class: "zero", x1: 0, x2: 300, y1: 97, y2: 97 }), stalls, lines, mark));
  const when = at === null || !shown ? "" : duration(Math.max(0, end - shown.at_s)) + " ago: ";
  const said = at === null && !view.ended ? { ...stage, held_records: stage.held } : shown;
  const words = said ? when + (single ? rate(flowOf(at === null && !view.ended ? stage.kind : "", said)) : `${rate(said.in_per_s)} → ${rate(said.out_per_s)}`) + (said.queued_records > 0 ? `, ${short(said.queued_records)} queued` : "") + (said.held_records > 0 ? `, ${short(said.held_records)} held` : "") : "";
  return h("div", { class: "plot", key: stage.name, role: "img", "aria-label": `${stage.name}: ${words}; highest rate ${rate(topRate)}, longest queue ${number(topQueue)}` },
    h("div", { class: "title" }, h("b", { title: stage.name }, stage.name), h("span", null, words)),
    pane(false, topRate > 0 ? "records/s" : "no records move", topRate > 0 ? "to " + short(topRate) : "", [areaOf(list, x, "in_per_s", topRate, "taken"), single ? null : lineOf(list, x, "out_per_s", topRate, "given")]),
    pane(true, topQueue > 0 ? "queued, held" : "nothing queued or held", topQueue > 0 ? "to " + short(topQueue) : "", [areaOf(list, x, "queued_records", topQueue, "queued"), lineOf(list, x, "held_records", topQueue, "held")]),
    h("div", { class: "axis", "aria-hidden": "true" }, axisOf(view, begin, span).map((text) => h("span", null, text))));
}

// The times at the beginning, in the middle and at the end.
function axisOf(view, begin, span) {
  const zero = view.ended ? view.status.end.at_ms - view.status.uptime_s * 1000 : view.status.at_ms - view.status.uptime_s * 1000;
  const time = (s) => clock(zero + s * 1000).slice(-8);
  return [time(begin), time(begin + span / 2), view.ended ? time(begin + span) : "now"];
}

// What is nothing all the time has no line: the axis says it.
const isNothing = (list, field) => list.length < 2 || list.every((p) => p[field] === 0);

const trace = (list, x, field, top) => list.map((p) => `${x(p.at_s).toFixed(1)} ${(97 - (p[field] / top) * 90).toFixed(1)}`).join("L");

function lineOf(list, x, field, top, name) {
  return isNothing(list, field) ? null : h("path", { class: "l-" + name, d: "M" + trace(list, x, field, top) });
}

function areaOf(list, x, field, top, name) {
  if (isNothing(list, field)) return null;
  const d = trace(list, x, field, top);
  return [h("path", { class: "a-" + name, d: `M${x(list[0].at_s).toFixed(1)} 97L${d}L${x(list[list.length - 1].at_s).toFixed(1)} 97Z` }), h("path", { class: "l-" + name, d: "M" + d })];
}

function hoverCharts(event) {
  const svg = event.target.closest ? event.target.closest(".plot svg") : null;
  const box = svg && svg.getBoundingClientRect();
  const next = box && box.width > 0 ? Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) : null;
  if (next === hover) return;
  hover = next;
  if (now.view) renderCharts(now.view);
}
