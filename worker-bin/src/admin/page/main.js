// The stream of events, and what is drawn of each.
const now = { view: null, graph: null, heard: 0, lost: null, ended: false };
const SILENT_MS = 5000;
let events = null;
let retryAt = 0;
let retryMs = 1000;
let saidBefore = "";

async function fetchJson(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}

async function connect() {
  retryAt = Infinity;
  try {
    const [graph, history] = await Promise.all([fetchJson("/api/v1/pipeline"), fetchJson("/api/v1/history")]);
    now.graph = graph;
    reasons = graph.reasons;
    loadHistory(history);
    deadSeen = -1;
    listen();
  } catch (error) {
    lost("No connection to the worker");
  }
}

function listen() {
  if (events) events.close();
  events = new EventSource("/api/v1/events");
  let heard = false;
  events.addEventListener("status", (event) => {
    retryMs = 1000;
    heard = true;
    hear(JSON.parse(event.data));
  });
  events.onerror = async () => {
    events.close();
    const refused = heard ? null : await refusal();
    if (refused !== null) now.lost = null;
    lost(refused !== null ? refused : "The connection to the worker is lost");
  };
}

// What the worker says where it gives no events; a stream of them does not tell its page.
async function refusal() {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 8000);
  try {
    const answer = await fetch("/api/v1/events", { cache: "no-store", signal: stop.signal });
    return answer.status === 503 ? (await answer.text()).trim() : null;
  } catch {
    return null;
  } finally {
    stop.abort();
  }
}

function lost(why) {
  retryAt = Date.now() + retryMs;
  retryMs = Math.min(5000, retryMs * 1.5);
  if (now.lost === null) {
    now.lost = { why };
    sayLost();
  }
  renderStale();
}

function hear(live) {
  const before = now.view && now.view.status.started_ms === live.status.started_ms ? now.view : null;
  if (now.view && !before) {
    for (const entry of stallLog) if (entry.to === null) Object.assign(entry, { to: now.view.status.at_ms, cut: true });
    notice("Another run has begun at this address.");
  }
  Object.assign(now, { heard: Date.now(), lost: null, ended: live.status.end !== null });
  now.view = viewOf(now.graph, live.status, live.why, before);
  noteStalls(now.view);
  notePoint(now.view, before);
  noteDead(now.view);
  say(now.view);
  render();
}

function render() {
  const view = now.view;
  if (!view || document.hidden) return;
  renderStale();
  renderWho(view);
  renderHeadline(view);
  renderFigures(view);
  renderLegend(view);
  renderNodes(view);
  renderDetails(view);
  if (!at("graph").hidden) renderGraph(view);
  else renderTable(view);
  renderWaits(view);
  renderCharts(view);
  renderDead(view);
  hintScrolling();
  const s = view.status;
  show("foot", h("span", null, `worker ${s.version}, process ${s.pid}`), h("span", null, `delivery: ${s.delivery}`), h("span", null, `a stall is work that has not moved for ${duration(s.stall_after_s)}`));
}

// What is wider than its place says so, and can be reached by keyboard.
function hintScrolling() {
  for (const box of document.querySelectorAll(".scroll, .graph")) {
    const more = !box.hidden && box.scrollWidth > box.clientWidth + 1;
    if (more === ("more" in box.dataset)) continue;
    if (more) box.dataset.more = "";
    else delete box.dataset.more;
    if (more) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

function renderWho(view) {
  const s = view.status;
  show("who", h("h1", null, s.pipeline), s.nodes.length > 1 ? h("span", null, `node ${s.node} of ${s.nodes.length}`) : null,
    h("span", null, view.ended ? `ended ${clock(s.end.at_ms)}, after ${duration((s.end.at_ms - s.started_ms) / 1000)}` : `up ${duration(s.uptime_s)}, since ${clock(s.started_ms)}`));
  at("drain").disabled = view.ended || (s.state === "draining" && !s.drain) || now.lost !== null;
}

function renderHeadline(view) {
  const v = verdict(view);
  at("headline").dataset.state = v.state;
  show("headline", sign(v.state), h("div", null,
    h("div", { class: "word", id: "word" }, v.word, v.for_s === undefined ? null : h("small", null, "for " + duration(v.for_s))),
    h("p", { class: "pace" }, paceText(view)),
    h("p", { class: "why", id: "why" }, v.why), v.todo ? h("p", { class: "todo" }, h("b", null, "What to do: "), v.todo) : null, v.more ? h("p", { class: "more" }, v.more) : null));
  document.title = `${v.word} – ${view.status.pipeline}` + (view.status.nodes.length > 1 ? ` (${view.status.node})` : "");
  icon(now.lost && !now.ended ? "away" : v.state);
}

// Rates and what is left, in a line; after the end, what was done.
function paceText(view) {
  const local = (kind) => view.stages.filter((stage) => stage.kind === kind && stage.here.length);
  const parts = [];
  for (const [kind, field, count, word] of [["source", "in_per_s", "records_in", "read"], ["sink", "out_per_s", "records_out", "written"]]) {
    const stages = local(kind);
    if (stages.length === 0) continue;
    const sum = (name) => stages.reduce((total, stage) => total + stage[name], 0);
    parts.push(view.ended ? plural(sum(count), "record") + " " + word : rate(sum(field)) + " " + word);
  }
  const left = view.ended ? "" : leftText(view);
  if (left) parts.push(left);
  return parts.join(" · ");
}

// For people who listen: only when something changes, without the seconds that pass.
function say(view) {
  const v = verdict(view);
  const key = v.word + "|" + (view.stalls[0] ? view.stalls[0].root : v.state === "moving" ? "" : v.why);
  if (key === saidBefore) return;
  saidBefore = key;
  write("said", `${v.word}. ${v.why} ${v.todo ? "What to do: " + v.todo : ""}`);
}

function sayLost() {
  saidBefore = "";
  if (!now.ended && now.heard) write("said", now.lost.why + ". What is shown is its last state.");
}

const ICON_COLOURS = { warned: "#b87800", waiting: "#b87800", moving: "#1d9a75", working: "#2f74d0", idle: "#7b8892", stalled: "#d13b31", paused: "#7d52c8", done: "#5d7267", failed: "#d13b31", away: "#a0abb3" };
let iconShown = "";
function icon(state) {
  if (state === iconShown) return;
  iconShown = state;
  const shape = document.querySelector(`#g-${state} path`).getAttribute("d");
  const svg = `<svg xmlns="${SVG}" viewBox="-2 -2 20 20"><path fill-rule="evenodd" fill="${ICON_COLOURS[state]}" d="${shape}"/></svg>`;
  at("icon").href = "data:image/svg+xml," + encodeURIComponent(svg);
}

function figure(name, value, beside, bad, meter) {
  return h("div", { key: name, class: "figure" + (meter ? " wide" : "") + (bad ? " bad" : "") }, h("div", { class: "name" }, name), h("div", { class: "value" }, value), meter || null, beside ? h("div", { class: "beside", title: beside }, beside) : null);
}

function renderFigures(view) {
  const s = view.status;
  const local = (kind) => view.stages.filter((stage) => stage.kind === kind && stage.here.length);
  const sum = (stages, field) => stages.reduce((total, stage) => total + stage[field], 0);
  const [sources, sinks] = [local("source"), local("sink")];
  const all = view.stages.filter((stage) => stage.here.length);
  const list = [];
  // A rate says nothing of a run that is over.
  const flow = (name, per_s, count) => (view.ended ? figure(name, number(count), count === 1 ? "record" : "records") : figure(name, rate(per_s), plural(count, "record")));
  if (sources.length) list.push(flow("Read", sum(sources, "in_per_s"), sum(sources, "records_in")));
  else list.push(flow("Received", [...view.inRates.values()].reduce((a, b) => a + b, 0), s.inbound.reduce((n, l) => n + l.records, 0)));
  if (sinks.length) list.push(flow("Written", sum(sinks, "out_per_s"), sum(sinks, "records_out")));
  if (sources.length) list.unshift(progress(view));
  const held = s.memory.held_bytes + s.memory.spilled_bytes;
  // While it runs a program may fail with all that it has read yet; that counts when it has not ended well.
  const queued = view.ended ? s.held_records : sum(all, "queued_records");
  const away = view.ended ? 0 : s.links.filter((link) => link.to_node !== s.node).reduce((n, link) => n + link.held_records, 0);
  list.push(figure(view.ended ? "Not done" : "Queued", number(queued), away > 0 ? number(away) + " held for other nodes" : queued === 1 ? "record" : "records"));
  list.push(figure("Held", bytes(held), s.memory.spilled_bytes > 0 ? bytes(s.memory.spilled_bytes) + " of it on disk" : "in memory"));
  list.push(figure("Process memory", bytes(s.memory.resident_bytes), "at most " + bytes(s.memory.resident_peak_bytes)));
  if (s.slots.total > 0 && !view.ended) list.push(figure("Slots in use", h("span", null, number(s.slots.used), h("small", null, " of " + number(s.slots.total))), "for batch programs"));
  const dead = sum(all, "dead_records");
  list.push(figure("Dead letters", number(dead), dead > 0 ? "reasons below" : "none", dead > 0));
  const dropped = s.links.reduce((n, link) => n + (link.dropped_records || 0), 0);
  if (dropped > 0) list.push(figure("Dropped", number(dropped), "by links that were full (when_full)", true));
  const leftOut = sum(all, "left_out_records");
  if (leftOut > 0) list.push(figure("Left out", number(leftOut), "by samples of sources"));
  list.push(figure("Retried", number(sum(all, "retried_records")), "records, counted each time"));
  if (s.nodes.length > 1) list.push(figure("Lost, at most", number(s.lost_records), s.lost_records > 0 ? "when nodes died" : "nothing", s.lost_records > 0));
  show("figures", list);
}

// When all input will be done; empty where that cannot be said.
function leftText(view) {
  const s = view.status;
  if (view.ended || !s.total_bytes) return "";
  if (s.through_bytes >= s.total_bytes) return "all is done by " + whose(s);
  return s.left_s === null ? "no estimate: nothing gets through all stages now" : "about " + duration(s.left_s) + " left";
}

// By whom input is done where per cent are said: a node sees its own part.
const whose = (s) => (s.nodes.length > 1 ? "this node\u2019s stages" : "all stages");

function progress(view) {
  const s = view.status;
  if (s.total_bytes === null || s.total_bytes === 0) return figure("Input", bytes(s.read_bytes), view.ended ? "read" : `read; ${bytes(s.through_bytes_per_s)}/s done by ${whose(s)}`);
  const share = Math.min(1, s.through_bytes / s.total_bytes);
  const when = `done by ${whose(s)}` + (view.ended || share === 1 ? "" : `, ${bytes(s.read_bytes)} read; ${leftText(view)}`);
  const meter = h("div", { class: "meter", role: "progressbar", "aria-label": "Input done by " + whose(s), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.floor(share * 100) }, h("i", { style: { width: (share * 100).toFixed(1) + "%" } }));
  return figure("Input", h("span", null, Math.floor(share * 100) + "\u00a0%", h("small", null, ` ${bytes(s.through_bytes)} of ${bytes(s.total_bytes)}`)), when, false, meter);
}

function renderStale() {
  const box = at("stale");
  const over = now.ended;
  document.body.classList.toggle("is-stale", now.lost !== null && !over);
  box.classList.toggle("over", over);
  box.hidden = now.lost === null;
  if (now.lost === null) return;
  if (over) {
    box.textContent = visible("The run is over, and its process has ended: this is its last state. A worker that is started at this address again will be shown.");
  } else if (!now.heard) {
    box.textContent = visible(`${now.lost.why}. Trying again.`);
  } else {
    box.textContent = visible(`${now.lost.why}: this is its state as of ${clock(now.heard)}, ${duration((Date.now() - now.heard) / 1000)} ago. Trying again; look whether the process still runs.`);
  }
  if (!over) icon("away");
  at("drain").disabled = true;
}

// Once a second: is the worker silent, is it time to try again?
function watch() {
  if (now.heard && now.lost === null && !now.ended && Date.now() - now.heard > SILENT_MS) {
    now.lost = { why: "The worker has said nothing for seconds: it may be stopped, or its machine hangs" };
    sayLost();
    retryAt = Date.now() + SILENT_MS;
  }
  if (now.lost !== null && Date.now() >= retryAt) {
    if (events) events.close();
    connect();
  }
  if (now.lost !== null) renderStale();
}

const THEMES = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  write("theme", "Theme: " + name);
  at("theme").dataset.theme = name;
  try { localStorage.setItem("worker-theme", name); } catch { /* it is forgotten */ }
}

function shownAs(table) {
  at("graph").hidden = table;
  at("legend").hidden = table;
  at("table").hidden = !table;
  at("as-graph").setAttribute("aria-pressed", String(!table));
  at("as-table").setAttribute("aria-pressed", String(table));
  render();
}

function clicked(event) {
  const on = (name) => event.target.closest(`[data-${name}]`);
  const target = on("open");
  if (target) {
    const [kind, name] = [target.dataset.open.split(":", 1)[0], target.dataset.open.slice(target.dataset.open.indexOf(":") + 1)];
    openDetails(kind, name, target);
  } else if (on("close")) closeDetails();
  else if (on("order")) {
    const [kind, stage] = [on("order").dataset.order.split(":", 1)[0], on("order").dataset.order.slice(on("order").dataset.order.indexOf(":") + 1)];
    order(kind, stage);
  } else if (on("all")) {
    opened.all = true;
    render();
  } else if (on("more-dead")) {
    deadAll = true;
    render();
  }
}

function keyed(event) {
  if (event.key === "Escape" && opened && !at("order").open) closeDetails();
  const edge = event.target.closest ? event.target.closest(".edge") : null;
  if (edge && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    edge.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  }
  moveInCells(event);
}

function start() {
  let kept = null;
  try { kept = localStorage.getItem("worker-theme"); } catch { /* none */ }
  theme(THEMES.includes(kept) ? kept : "system");
  at("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(at("theme").dataset.theme) + 1) % THEMES.length]));
  at("as-graph").addEventListener("click", () => shownAs(false));
  at("as-table").addEventListener("click", () => shownAs(true));
  document.addEventListener("click", clicked);
  document.addEventListener("keydown", keyed);
  at("plots").addEventListener("pointermove", hoverCharts);
  at("plots").addEventListener("pointerleave", hoverCharts);
  document.addEventListener("visibilitychange", render);
  new ResizeObserver(() => {
    if (now.view && !at("graph").hidden) renderGraph(now.view);
    hintScrolling();
  }).observe(at("body"));
  startOrders();
  setInterval(watch, 1000);
  show("headline", h("span", null, ""), h("div", null, h("div", { class: "word" }, "Connecting"), h("p", { class: "why" }, "Asking the worker how it is.")));
  connect();
}
start();
