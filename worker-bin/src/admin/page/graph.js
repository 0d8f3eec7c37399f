// The pipeline as a graph and as a table.
let layout = null;
let layoutKey = "";

// As wide as it is without details beside it: opening them moves no box.
function graphWidth() {
  const around = at("pipeline").offsetWidth - at("graph").clientWidth;
  return at("body").clientWidth - around - 4;
}

function renderGraph(view) {
  const width = graphWidth();
  if (width < 50) return;
  const vertical = width < 620;
  const key = width + "|" + view.graph.stages.map((stage) => stage.name + stage.partitions).join();
  if (key !== layoutKey) {
    layout = layoutOf(view.graph.stages, width, vertical);
    layoutKey = key;
  }
  const left = Math.max(0, Math.floor((width - layout.width) / 2));
  const plane = { class: "plane", style: { width: Math.ceil(layout.width) + "px", height: Math.ceil(layout.height) + "px", "margin-left": left + "px" } };
  const boxes = view.stages.map((stage) => boxOf(view, stage, layout.nodes.get(stage.name)));
  const links = layout.edges.map((edge) => edgeShape(view, edge)).filter(Boolean);
  const labels = layout.edges.map((edge) => edgeLabel(view, edge)).filter(Boolean);
  const svg = h("svg", { class: "links", width: Math.ceil(layout.width), height: Math.ceil(layout.height) }, links, labels);
  show("graph", h("div", plane, h("div", { class: "boxes" }, boxes), svg));
}

// Brings what is opened out from behind the details, where its box is cut by them.
function reveal() {
  const graph = at("graph");
  const shown = opened && [...graph.querySelectorAll("[data-stage]")].find((box) => box.dataset.stage === opened.name.split(/[>/]/)[0]);
  if (!shown || graph.hidden) return;
  const [box, room] = [shown.getBoundingClientRect(), graph.getBoundingClientRect()];
  if (box.right > room.right - 8) graph.scrollLeft += box.right - room.right + 24;
  else if (box.left < room.left) graph.scrollLeft -= room.left - box.left + 24;
}

function boxOf(view, stage, node) {
  const away = stage.here.length === 0;
  const style = { left: node.x + "px", top: node.y + "px", width: node.w + "px", height: node.h + "px" };
  const open = opened && opened.kind === "stage" && opened.name === stage.name;
  const flow = away ? stage.seen_per_s : flowOf(stage.kind, stage);
  const where = view.graph.nodes.length > 1 ? " on " + stage.nodes.join(", ") : "";
  const queue = stage.queued_records;
  const narrow = node.w < 165;
  // Of a source that follows files what it has still to read is its queue.
  const waiting = queue > 0 ? short(queue) + (narrow ? " q" : " queued") : stage.lag_bytes > 0 ? bytes(stage.lag_bytes) + (narrow ? "" : " behind") : "";
  const hot = stage.blocked ? h("span", { class: "hot", style: { color: "var(--stalled)" } }, "part stalled")
    : ["moving", "away"].includes(stage.state) ? null : h("span", { class: "hot" }, STATE_WORDS[stage.state]);
  const label = `${stage.name}, ${KIND_WORDS[stage.kind]}, ${plural(stage.partitions, "task")}${where}: ${stageText(stage)}`;
  return h("div", { key: stage.name, class: "box" + (away ? " remote" : "") + (open ? " open" : ""), "data-state": stage.state, style, "data-stage": stage.name },
    h("button", { type: "button", class: "top", "data-open": "stage:" + stage.name, "aria-label": label, title: label }, sign(stage.state), h("span", null, stage.name)),
    h("div", { class: "sub" }, h("span", null, KIND_WORDS[stage.kind] + (stage.partitions > 1 ? " ×" + stage.partitions : "") + where),
      hot && !narrow ? hot : null),
    h("div", { class: "sub" }, hot && narrow ? hot : view.ended ? h("span", null, short(stage.records_out) + " in all") : away && flow === 0 ? h("span", null, "\u2013") : h("b", null, rate(flow)), waiting ? h("span", null, waiting) : null),
    cellGrid(view, stage, node.w));
}

function stageText(stage) {
  if (now.ended && stage.here.length) return `${STATE_WORDS[stage.state]}, ${plural(stage.records_in, "record")} taken, ${number(stage.records_out)} given on, ${number(stage.queued_records)} left`;
  if (stage.here.length === 0) return STATE_WORDS[stage.state];
  const behind = stage.lag_bytes > 0 ? `, ${bytes(stage.lag_bytes)} behind` : "";
  return `${STATE_WORDS[stage.state]}, ${rate(stage.in_per_s)} done, ${rate(stage.out_per_s)} given on, ${number(stage.queued_records)} queued${behind}`;
}

function cellGrid(view, stage, width) {
  const grid = cellsOf(stage.partitions, width);
  let tasks = stage.tasks;
  if (tasks.length > CELLS_MAX) {
    const urgent = (task) => RANK.indexOf(task.state);
    tasks = [...tasks].sort((a, b) => urgent(a) - urgent(b)).slice(0, CELLS_MAX);
  }
  const active = tasks.find((task) => task.name === roving.get(stage.name)) || tasks[0];
  const cells = tasks.map((task) => {
    const label = task.name + ": " + taskText(view, task);
    const kind = (task.local ? "" : " remote") + (task.blocked ? " blocked" : "");
    const props = { key: task.name, type: "button", class: "cell" + kind, "data-state": task.state, "data-open": "task:" + task.name,
      "data-cell": stage.name, tabindex: task === active ? 0 : -1, "aria-label": label, title: label };
    if (grid.kind === "dots") return h("button", props, sign(task.state));
    if (grid.kind === "chips") return h("button", props, sign(task.state), h("span", null, task.index));
    return h("button", props, sign(task.state), h("span", { class: "n" }, "/" + task.index), h("span", { class: "r" }, rowText(view, task)));
  });
  const rest = stage.tasks.length - tasks.length;
  return h("div", { class: "cells " + grid.kind, role: "group", "aria-label": "Tasks of " + stage.name, style: { "grid-template-columns": `repeat(${grid.columns},minmax(0,1fr))` } },
    cells, rest > 0 ? h("span", { class: "rest" }, `and ${number(rest)} calm ones more`) : null);
}

function rowText(view, task) {
  if (task.local) {
    if (view.ended && task.state !== "failed") return short(task.raw.records_out);
    if (task.state === "failed" || task.state === "done" || task.state === "paused" || task.state === "stalled") return STATE_WORDS[task.state];
    return rate(flowOf(view.byName.get(task.stage).kind, task.raw));
  }
  return task.state === "down" ? task.node + ": no connection" : task.state === "done" ? task.node + ": ended" : task.node;
}

function edgeShape(view, edge) {
  const data = view.edges.get(edge.id);
  if (!data) return null;
  const d = edge.d;
  const width = data.per_s > 0 ? Math.min(7, 1.6 + Math.log10(1 + data.per_s)) : 1.6;
  const pace = data.per_s > 0 ? Math.max(0.5, 2.2 - Math.log10(1 + data.per_s) * 0.4) : 0;
  const open = opened && opened.kind === "edge" && opened.name === edge.id;
  const flows = data.state === "moving" || (data.per_s > 0 && data.state === "stalled");
  return h("g", { key: edge.id, class: "edge" + (open ? " open" : ""), "data-state": data.state, "data-open": "edge:" + edge.id, role: "button", tabindex: 0,
    "aria-label": `Link from ${data.from} to ${data.to}: ${edgeText(data)}` },
    h("title", null, edgeText(data)),
    h("path", { class: "hit", d }),
    h("path", { class: "line", d, "stroke-width": width.toFixed(1) }),
    flows ? h("path", { class: "flow", d, "stroke-width": Math.max(1.6, width - 0.8).toFixed(1), style: { "--pace": pace.toFixed(1) + "s" } }) : null);
}

// What a link says of itself, above all links and on ground of its own.
function edgeLabel(view, edge) {
  const data = view.edges.get(edge.id);
  if (!data) return null;
  const [x, y] = edge.label;
  const bad = ["stalled", "down", "waiting"].includes(data.state);
  const texts = [];
  if (data.per_s > 0) texts.push(["", rate(data.per_s)]);
  if (data.held > 0) texts.push(["held", short(data.held) + " held"]);
  if (texts.length === 0 && !bad) return null;
  const lines = Math.max(1, texts.length);
  const room = bad ? 14 : 0;
  const wide = Math.max(0, ...texts.map(([, text]) => text.length * 6.2)) + room + 8;
  const top = y - lines * 7.5;
  return h("g", { key: edge.id + "|label", class: "label", "data-state": data.state, "aria-hidden": "true" },
    h("rect", { x: (x - wide / 2).toFixed(1), y: top.toFixed(1), width: wide.toFixed(1), height: lines * 15, rx: 4 }),
    bad ? h("svg", { class: "sign", x: x - wide / 2 + 3, y: top + lines * 7.5 - 6, width: 12, height: 12, viewBox: "0 0 16 16" }, h("use", { href: "#g-" + data.state })) : null,
    texts.map(([kind, text], i) => h("text", { class: kind, x: x + room / 2, y: top + 11.5 + i * 15 }, text)));
}

function edgeText(edge) {
  if (edge.state === "away") return "between other nodes: not known here";
  const held = edge.held > 0 ? `, ${number(edge.held)} held` : "";
  return `${STATE_WORDS[edge.state]}, ${rate(edge.per_s)}${held}`;
}

function renderTable(view) {
  const head = ["Stage", "State", "Tasks", "Node", "Done/s", "Given on/s", "Queued", "Held", "At work", "Dead", "Retried, each time"];
  const rows = view.stages.map((stage) => {
    const here = stage.here.length > 0;
    const cells = here ? [rate(stage.in_per_s), rate(stage.out_per_s), number(stage.queued_records), number(stage.held), atWork(stage.kind, stage.busy),
      number(stage.dead_records), number(stage.retried_records)] : ["", "", "", "", "", "", ""];
    const counts = Object.entries(stage.counts).map(([state, n]) => n + " " + STATE_WORDS[state]).join(", ");
    return tableRow(stage.name, head,
      [[h("button", { type: "button", class: "link", "data-open": "stage:" + stage.name }, stage.name), " ", h("span", { class: "muted" }, KIND_WORDS[stage.kind])],
        stateMark(stage.state, stage.blocked ? "moving, part stalled" : undefined),
        stage.partitions > 1 ? counts : number(stage.partitions), stage.nodes.join(", "), ...cells], 4);
  });
  show("table", tableOf("Stages of the pipeline", head, rows, 4));
}

// A table that stands as cards where it has no room: each cell then says by itself what it is.
function tableOf(caption, head, rows, numbersFrom) {
  return h("table", { class: "cards", role: "table" }, h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head.map((name, i) => h("th", { scope: "col", role: "columnheader", class: i >= numbersFrom ? "num" : "" }, name)))),
    h("tbody", { role: "rowgroup" }, rows));
}

function tableRow(key, head, cells, numbersFrom) {
  return h("tr", { key, role: "row" }, cells.map((cell, i) => h(i === 0 ? "th" : "td", { role: i === 0 ? "rowheader" : "cell", scope: i === 0 ? "row" : undefined,
    class: (i >= numbersFrom ? "num" : "") + (cell === "" ? " none" : ""), "data-label": head[i] }, cell)));
}

function stateMark(state, text) {
  return h("span", { class: "state", "data-state": state }, sign(state), text || STATE_WORDS[state]);
}

function renderNodes(view) {
  at("nodes").hidden = view.nodes.size < 2;
  lookForPages(view);
  show("nodes", [...view.nodes.values()].map((node) => {
    const state = node.me ? "moving" : node.down ? "down" : node.peer || node.sends ? "moving" : node.over ? "done" : "away";
    return h("span", { key: node.name, class: "node", "data-state": state, title: (node.peer && node.peer.last_error) || "" },
      node.me ? null : h("span", { class: "state" }, sign(state === "moving" ? "done" : state)), nodeName(node), nodeText(node));
  }));
}

// Its name, as the way to its own page where that is known.
function nodeName(node) {
  const page = node.me ? undefined : pageOf(node.name);
  return page ? h("a", { href: page, title: "The page of node " + node.name }, node.name) : h("b", null, node.name);
}

// A page that is told of by an address of its own machine is where this one came from.
function pageOf(node) {
  const address = (now.graph.pages || {})[node];
  const [, scheme, host, port] = (address && address.match(/^(https:\/\/)?(.*):(\d+)$/)) || [];
  if (port === undefined) return undefined;
  const own = /^(127\.[\d.]+|localhost|0\.0\.0\.0|\[::1?\])$/i.test(host);
  return `${scheme ? "https:" : location.protocol}//${own ? location.hostname : host}:${port}/`;
}

// Nodes that are started later have their pages later.
let pagesAsked = 0;
function lookForPages(view) {
  const pages = now.graph.pages || {};
  if (view.ended || now.lost || [...view.nodes.values()].every((node) => node.me || pages[node.name])) return;
  if (Date.now() - pagesAsked < 5000) return;
  pagesAsked = Date.now();
  fetchJson("/api/v1/pipeline").then((graph) => { now.graph.pages = graph.pages; }).catch(() => {});
}

function renderLegend(view) {
  const used = ["moving", "working", "idle", "waiting", "stalled", "paused", "done"];
  if (view.stages.some((stage) => stage.state === "failed")) used.push("failed");
  if (view.nodes.size > 1) used.push("away", "down");
  show("legend", used.map((state) => h("span", { key: state, "data-state": state }, sign(state), STATE_WORDS[state])));
}

// Arrow keys move between the tasks of one stage, so that Tab need not pass all of them.
const roving = new Map();
function moveInCells(event) {
  const cell = event.target.closest ? event.target.closest("[data-cell]") : null;
  const grid = cell && cell.parentElement;
  if (!grid) return;
  const cells = [...grid.querySelectorAll("[data-cell]")];
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -cells.length, End: cells.length }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const to = cells[Math.max(0, Math.min(cells.length - 1, cells.indexOf(cell) + step))];
  roving.set(cell.dataset.cell, to.dataset.open.slice(5));
  cells.forEach((other) => (other.tabIndex = other === to ? 0 : -1));
  to.focus();
}
