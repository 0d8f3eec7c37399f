// One stage, task or link in detail.
let opened = null;
let openedBy = null;
const LINKS_SHOWN = 12;

function openDetails(kind, name, by) {
  opened = { kind, name, all: false };
  openedBy = by || null;
  render();
  const panel = at("details");
  panel.scrollTop = 0;
  reveal();
  panel.querySelector("h2").focus({ preventScroll: false });
}

function closeDetails() {
  const by = openedBy;
  const asked = opened && `${opened.kind}:${opened.name}`;
  opened = null;
  openedBy = null;
  render();
  const again = by && by.isConnected ? by : asked && document.querySelector(`[data-open="${CSS.escape(asked)}"]`);
  if (again) again.focus();
}

function renderDetails(view) {
  const panel = at("details");
  const content = opened && detailsOf(view);
  panel.hidden = !content;
  at("body").classList.toggle("with-details", Boolean(content));
  patch(panel, content ? h("x", null, content).kids : []);
}

function detailsOf(view) {
  if (opened.kind === "task") {
    const task = view.tasks.get(opened.name);
    return task && taskDetails(view, task);
  }
  if (opened.kind === "stage") {
    const stage = view.byName.get(opened.name);
    return stage && stageDetails(view, stage);
  }
  const edge = view.edges.get(opened.name);
  return edge && edgeDetails(view, edge);
}

function titleOf(state, name, what) {
  return [h("div", { class: "head" },
    h("div", null, h("h2", { id: "details-title", tabindex: -1, "data-state": state }, sign(state), name), h("p", { class: "muted" }, what)),
    h("button", { type: "button", class: "quiet", "data-close": "1", "aria-label": "Close the details" }, "Close"))];
}

const fact = (name, value) => h("div", { key: name }, h("dt", null, name), h("dd", null, value));

function budget(name, used, limit, text, state) {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  const c = state || (share > 0.95 ? "stalled" : share > 0.7 ? "waiting" : "working");
  return h("div", { class: "budget", key: name }, h("span", { class: "muted" }, name),
    h("div", { class: "meter", role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100), "data-state": c },
      h("i", { style: { width: (share * 100).toFixed(1) + "%" } })),
    h("span", null, text));
}

function taskDetails(view, task) {
  const stage = view.byName.get(task.stage);
  const what = `${KIND_WORDS[stage.kind]} task of `;
  const head = titleOf(task.state, task.name, [what, h("button", { type: "button", class: "link", "data-open": "stage:" + task.stage }, task.stage), " on node ", task.local ? task.node : nodeName(view.nodes.get(task.node))]);
  if (!task.local) {
    return [head, h("p", null, stateMark(task.state), " "), h("p", null, `Runs on node ${task.node}: ${nodeText(view.nodes.get(task.node))}. What it does is known there; this is what passes between it and this node.`),
      peerError(view, task.node), linkList("Links from here", task.ins), linkList("Links to here", task.outs)];
  }
  const raw = task.raw;
  return [head, h("p", null, stateMark(task.state, taskText(view, task))), causes(view, [task]),
    h("h3", null, "Counters"), facts(view.byName.get(task.stage).kind, raw, raw.unmoved_s),
    h("h3", null, "Where its time went"), timeSpent(view, [raw]),
    linkList("Takes from", task.ins), linkList("Gives to", task.outs), lettersOf((letter) => letter.task === task.name)];
}

function facts(kind, raw, unmoved) {
  return h("dl", { class: "facts" },
    fact("done/s", rate(now.ended ? 0 : raw.in_per_s)), fact("given on/s", rate(now.ended ? 0 : raw.out_per_s)), fact("queued", number(raw.queued_records)),
    fact("taken", number(raw.records_in)), fact("given on", number(raw.records_out)), fact("at work now", atWork(kind, now.ended ? 0 : raw.busy)),
    fact("bytes taken", bytes(raw.bytes_in)), fact("bytes given", bytes(raw.bytes_out)), fact("programs", number(raw.programs)),
    fact("retried, each time", number(raw.retried_records)), fact("dead letters", number(raw.dead_records)),
    raw.lag_bytes === undefined ? null : fact("not read yet", raw.lag_bytes > 0 ? `${bytes(raw.lag_bytes)}, for ${duration(raw.lag_s)}` : bytes(0)),
    unmoved === undefined ? null : fact("last moved", duration(unmoved) + " ago"));
}

// Shares of the run: at work, and waiting by the nearest cause; what is looked at now and then makes at most what work leaves.
function timeSpent(view, tasks) {
  const whole = Math.max(0.1, view.status.uptime_s) * tasks.length;
  const spent = new Map([["at work", [0, "working"]]]);
  for (const task of tasks) {
    spent.get("at work")[0] += task.busy_s;
    for (const [kind, seconds] of Object.entries(task.blocked_s)) {
      if (isAtWork(kind)) continue;
      const name = waitTitle(kind);
      const c = kind === "paused" ? "paused" : { blocked: "stalled", working: "waiting", idle: "idle" }[waitClass(kind)];
      if (!spent.has(name)) spent.set(name, [0, c]);
      spent.get(name)[0] += seconds;
    }
  }
  const waited = [...spent].reduce((sum, [name, [seconds]]) => sum + (name === "at work" ? 0 : seconds), 0);
  const left = Math.max(0, whole - spent.get("at work")[0]);
  if (waited > left) for (const [name, entry] of spent) if (name !== "at work") entry[0] *= left / waited;
  const rows = [...spent].filter(([, [seconds]]) => seconds > 0.05).sort((a, b) => b[1][0] - a[1][0]);
  if (rows.length === 0) return h("p", { class: "muted" }, "It has not waited for anything.");
  const each = shares([...rows.map(([, [seconds]]) => seconds), Math.max(0, whole - rows.reduce((sum, [, [seconds]]) => sum + seconds, 0))]);
  const rest = each[rows.length] >= 1 ? [["no work, no wait", [whole * each[rows.length] / 100, "idle"]]] : [];
  return [...rows, ...rest].map(([name, [seconds, c]], i) => budget(name, seconds, whole, (i < rows.length ? duration(seconds) + ", " : "") + each[i] + "\u00a0%", c));
}

// The chain of causes, step by step, of the first of these tasks that has one.
function causes(view, tasks) {
  const names = new Set(tasks.map((task) => task.name));
  const own = view.why.chains.filter((chain) => names.has(chain.task));
  const chain = own[0] || view.why.chains.find((c) => c.steps.some((step) => names.has(step.task)));
  const single = tasks.length === 1 ? tasks[0].raw.waits.filter((wait) => wait.kind !== "linger" && wait.for_s >= 0.5) : [];
  if (!chain && single.length === 0) return null;
  const list = [];
  if (chain) {
    list.push(h("h3", null, chain.stalled && chain.steps[chain.steps.length - 1].wait.kind !== "paused" ? "Why it is stalled" : "Why it waits"), chainSteps(chain));
    if (own.length > 1) list.push(h("p", { class: "muted" }, `${plural(own.length - 1, "more task")} of it ${own.length > 2 ? "wait" : "waits"}.`));
  }
  const told = own[0] ? own[0].steps[0].wait : null;
  const alike = (wait) => told && wait.kind === told.kind && wait.on_node !== null && wait.on_node === told.on_node;
  const same = single.filter((wait) => alike(wait) && wait.on !== told.on).map((wait) => wait.on);
  if (same.length) list.push(h("p", { class: "muted" }, "The same holds for: " + same.slice(0, 8).join(", ") + (same.length > 8 ? ` and ${same.length - 8} more` : "")));
  const rest = single.filter((wait) => !alike(wait) && !(told && wait.text === told.text));
  if (rest.length) {
    list.push(h("h3", null, chain ? "It also waits for" : "What it waits for"),
      h("ul", { class: "steps" }, rest.map((wait) => h("li", { "data-state": wait.stalled ? "stalled" : "waiting" }, wait.text))));
  }
  return list;
}

function chainSteps(chain) {
  const last = chain.steps.length - 1;
  return [h("ol", { class: "steps" }, chain.steps.map((step, i) => h("li", { "data-state": i === last ? (chain.stalled ? "stalled" : "waiting") : "idle" },
    h("button", { type: "button", class: "link", "data-open": "task:" + step.task }, step.task), " waits: " + step.wait.text,
    i === last && last > 0 ? h("span", { class: "muted" }, " (the cause)") : null))),
  chain.sources_paused.length ? h("p", { class: "muted" }, "Paused by it: " + chain.sources_paused.join(", ")) : null,
  chain.advice ? h("p", { class: "advice" }, h("b", null, "What to do: "), chain.advice) : null];
}

function peerError(view, name) {
  const peer = view.nodes.get(name)?.peer;
  return peer && !peer.up && peer.last_error ? h("p", { class: "advice" }, h("b", null, "Last attempt: "), peer.last_error) : null;
}

function stageDetails(view, stage) {
  const where = view.graph.nodes.length > 1 ? " on " + stage.nodes.map((n) => "node " + n).join(", ") : "";
  const head = titleOf(stage.state, stage.name, `${KIND_WORDS[stage.kind]}, ${plural(stage.partitions, "task")}${where}${stage.from.length ? "; takes from " + stage.from.join(", ") : ""}`);
  const edges = [...view.edges.values()];
  const links = [linkList("Links in", edges.filter((e) => e.to === stage.name).flatMap((e) => [...e.outs, ...e.ins])),
    linkList("Links out", edges.filter((e) => e.from === stage.name).flatMap((e) => [...e.outs, ...e.ins]))];
  if (stage.here.length === 0) {
    const nodes = stage.nodes.map((name) => h("p", { key: name }, "Runs on node ", nodeName(view.nodes.get(name)), `: ${nodeText(view.nodes.get(name))}.`));
    return [head, h("p", null, stateMark(stage.state)), nodes, stage.nodes.map((name) => peerError(view, name)), links];
  }
  const paused = stage.here.some((task) => task.raw.paused);
  const off = view.ended || stage.here.every((task) => task.raw.done);
  const act = h("div", { class: "act" },
    h("button", { type: "button", id: "pause", "data-order": (paused ? "resume:" : "pause:") + stage.name, disabled: off }, paused ? "Resume this stage" : "Pause this stage"),
    view.graph.nodes.length > 1 ? h("span", { class: "muted" }, "its tasks on this node") : null);
  return [head, h("p", null, stateMark(stage.state, stageText(stage))), act, causes(view, stage.here), h("h3", null, "Counters"), facts(stage.kind, stage),
    h("h3", null, "Where its time went"), timeSpent(view, stage.here.map((task) => task.raw)), taskTable(view, stage), links,
    lettersOf((letter) => stageOfTask(letter.task) === stage.name)];
}

function taskTable(view, stage) {
  const urgent = (task) => RANK.indexOf(task.state);
  const tasks = [...stage.tasks].sort((a, b) => urgent(a) - urgent(b) || Number(a.index) - Number(b.index));
  const shown = opened.all ? tasks : tasks.slice(0, 16);
  const head = ["Task", "State", "Done/s", "Queued", "At work"];
  const rows = shown.map((task) => tableRow(task.name, head, [h("button", { type: "button", class: "link", "data-open": "task:" + task.name }, task.name),
    stateMark(task.state, task.local ? undefined : task.node + (task.state === "down" ? ": not connected" : "")),
    ...(task.local ? [rate(task.raw.in_per_s), number(task.raw.queued_records), atWork(stage.kind, task.raw.busy)] : ["", "", ""])], 2));
  return [h("h3", null, "Tasks"), h("div", { class: "scroll" }, tableOf("Tasks of " + stage.name, head, rows, 2)), more(tasks.length - shown.length)];
}

function more(rest) {
  return rest > 0 ? h("button", { type: "button", class: "quiet", "data-all": "1" }, `Show ${number(rest)} more`) : null;
}

function edgeDetails(view, edge) {
  const head = titleOf(edge.state, `${edge.from} → ${edge.to}`, plural(edge.count, "link") + " from task to task");
  const stalled = edge.outs.filter((link) => link.state === "stalled" || link.state === "down");
  const about = stalled.length ? [...new Set(stalled.map((link) => link.from))].map((name) => view.tasks.get(name)).filter((task) => task && task.local) : [];
  const sum = (field) => edge.outs.reduce((total, link) => total + link[field], 0);
  const numbers = edge.outs.length ? [h("h3", null, "Counters"), h("dl", { class: "facts" }, fact("records/s", rate(edge.per_s)), fact("held", number(edge.held)), fact("in flight", number(sum("in_flight_records"))),
    fact("sent on", number(sum("records"))), fact("acknowledged", number(sum("acknowledged_records"))), fact("sent again", number(sum("retried_records"))))] : null;
  return [head, h("p", null, stateMark(edge.state, edgeText(edge))), about.length ? causes(view, about) : null, numbers,
    edge.state === "away" ? h("p", { class: "muted" }, "Both ends are on other nodes; their pages know more.") : null,
    linkList("Links", [...edge.outs, ...edge.ins])];
}

function linkList(title, links) {
  if (links.length === 0) return null;
  const urgent = (link) => RANK.indexOf(link.state);
  const sorted = [...links].sort((a, b) => urgent(a) - urgent(b) || (b.held_records || 0) - (a.held_records || 0));
  const shown = opened.all ? sorted : sorted.slice(0, LINKS_SHOWN);
  return [h("h3", null, title), shown.map((link) => (link.memory_limit_bytes === undefined ? inboundLine(link) : outboundLine(link))), more(sorted.length - shown.length)];
}

function outboundLine(link) {
  const full = link.held_records > 0;
  const spill = link.spilled_bytes > 0;
  return h("div", { class: "linkline", key: link.from + ">" + link.to },
    h("div", { class: "title" }, h("b", null, `${link.from} → ${link.to}`), stateMark(link.state)),
    h("p", null, `to node ${link.to_node}; ${rate(link.per_s)}, ${number(link.held_records)} held, ${number(link.in_flight_records)} in flight, ${number(link.retried_records)} sent again` +
      (full && link.unmoved_s > 1 ? `; nothing acknowledged for ${duration(link.unmoved_s)}` : "") + (link.credit_bytes === null ? "" : `; credit left ${bytes(link.credit_bytes)}`)),
    budget("memory", link.memory_bytes, link.memory_limit_bytes, `${bytes(link.memory_bytes)} of ${bytes(link.memory_limit_bytes)}`),
    spill ? budget("disk", link.spilled_bytes, link.spill_limit_bytes, `${bytes(link.spilled_bytes)} of ${bytes(link.spill_limit_bytes)}`) : null);
}

function inboundLine(link) {
  return h("div", { class: "linkline", key: link.from + ">" + link.to },
    h("div", { class: "title" }, h("b", null, `${link.from} → ${link.to}`), stateMark(link.state)),
    h("p", null, `from node ${link.from_node}; ${rate(link.per_s)}, ${number(link.records)} received, ${number(link.queued_records)} queued (${bytes(link.queued_bytes)}), ` +
      `${number(link.duplicate_records)} came twice and were dropped${link.ended ? "; ended" : ""}`));
}

function lettersOf(which) {
  const letters = deadLetters.filter(which).slice(-5).reverse();
  if (letters.length === 0) return null;
  return [h("h3", null, "Last dead letters"), h("ul", { class: "log" }, letters.map((letter) =>
    h("li", null, h("span", { class: "muted" }, clock(letter.at_ms)), h("span", { class: "muted", title: ATTEMPTS }, plural(letter.attempts, "attempt")), h("span", { class: "text" }, letter.reason))))];
}
