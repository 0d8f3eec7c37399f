// What one event says, joined with the graph of all nodes: the states of tasks, stages, links and nodes.
const RECENT_S = 2;

function viewOf(graph, status, why, before) {
  const view = { status, why, graph, tasks: new Map(), stages: [], edges: new Map(), nodes: nodesOf(status) };
  view.ended = status.end !== null;
  view.groups = groupsOf(why.chains);
  view.stalls = view.groups.filter((group) => group.stalled);
  const raw = new Map(status.tasks.map((task) => [task.name, task]));
  for (const { name, stage, node } of graph.tasks) {
    view.tasks.set(name, { name, stage, node, raw: raw.get(name), outs: [], ins: [], index: name.slice(name.lastIndexOf("/") + 1) });
  }
  joinLinks(view, before);
  for (const task of view.tasks.values()) taskState(view, task);
  view.stages = graph.stages.map((stage) => stageOf(view, stage));
  view.byName = new Map(view.stages.map((stage) => [stage.name, stage]));
  for (const edge of view.edges.values()) edgeState(view, edge);
  return view;
}

function groupsOf(chains) {
  const groups = new Map();
  for (const chain of chains) {
    // Tasks that the user paused are one cause: their stage's.
    const last = chain.steps[chain.steps.length - 1];
    const paused = last.wait.kind === "paused";
    const root = paused ? stageOfTask(last.task) + " is paused" : chain.root;
    // What names it for people: the reason in words, not as it is called in JSON.
    const who = chain.root.lastIndexOf(": ");
    const title = paused || who < 0 ? root : chain.root.slice(0, who) + ": " + waitTitle(last.wait.kind);
    if (!groups.has(root)) groups.set(root, { root, title, paused, chains: [], stalled: false, for_s: 0 });
    const group = groups.get(root);
    group.chains.push(chain);
    group.stalled = group.stalled || chain.stalled;
    if (chain.stalled || !group.stalled) group.for_s = Math.max(group.for_s, chain.for_s);
  }
  for (const group of groups.values()) group.state = group.paused ? "paused" : group.stalled ? "stalled" : "waiting";
  // Who goes on is not held up, and is told of only where nobody else tells of that cause.
  for (const group of groups.values()) {
    if (group.chains.some((chain) => chain.held === "all" && chain.steps[chain.steps.length - 1].wait.kind !== "upstream_down")) group.chains = group.chains.filter((chain) => chain.held === "all");
  }
  for (const group of groups.values()) group.chains.sort((a, b) => b.stalled - a.stalled || (!a.stalled && !a.advice) - (!b.stalled && !b.advice) || a.steps.length - b.steps.length);
  return [...groups.values()];
}

// What this node knows of each node.
function nodesOf(status) {
  const nodes = new Map();
  for (const name of status.nodes) {
    const peer = status.peers.find((p) => p.node === name);
    const sends = name in status.upstreams ? status.upstreams[name] : undefined;
    const own = status.inbound.filter((link) => link.from_node === name);
    const over = own.length > 0 && own.every((link) => link.ended);
    const node = { name, me: name === status.node, peer, sends, over };
    node.down = !node.me && status.end === null && ((peer !== undefined && !peer.up) || (sends === false && !over));
    node.known = node.me || peer !== undefined || sends !== undefined;
    nodes.set(name, node);
  }
  return nodes;
}

function nodeText(node) {
  if (node.me) return "this node";
  if (node.peer && !node.peer.up) {
    const peer = node.peer;
    const since = peer.down_s === null ? "" : " for " + duration(peer.down_s);
    const tries = peer.failed_attempts > 0 ? ", attempt " + number(peer.failed_attempts) : "";
    return peer.cause_text + since + tries;
  }
  if (node.sends === false && !node.over) return "has no connection to this node";
  if (node.sends === false && node.over && !node.peer) return "has sent all it had";
  if (node.peer) return "connected" + (node.peer.round_trip_ms === null ? "" : ", round trip " + node.peer.round_trip_ms.toFixed(1) + "\u00a0ms");
  return node.sends ? "connected, sends to this node" : "no direct link with this node";
}

const stageOfTask = (name) => name.slice(0, name.lastIndexOf("/"));

function edgeOf(view, from, to) {
  const id = stageOfTask(from) + ">" + stageOfTask(to);
  if (!view.edges.has(id)) {
    view.edges.set(id, { id, from: stageOfTask(from), to: stageOfTask(to), outs: [], ins: [], count: 0 });
  }
  return view.edges.get(id);
}

function joinLinks(view, before) {
  for (const [from, to] of view.graph.links) edgeOf(view, from, to).count += 1;
  for (const link of view.status.links) {
    edgeOf(view, link.from, link.to).outs.push(link);
    view.tasks.get(link.from)?.outs.push(link);
    view.tasks.get(link.to)?.ins.push(link);
  }
  const seconds = before ? view.status.uptime_s - before.status.uptime_s : 0;
  const old = new Map(before ? before.status.inbound.map((link) => [link.from + ">" + link.to, link]) : []);
  const oldRates = before ? before.inRates : new Map();
  view.inRates = new Map();
  for (const link of view.status.inbound) {
    const key = link.from + ">" + link.to;
    const last = old.get(key);
    const fresh = last && seconds > 0 ? Math.max(0, link.records - last.records) / seconds : 0;
    const calm = oldRates.has(key) ? oldRates.get(key) * 0.6 + fresh * 0.4 : fresh;
    link.per_s = calm < 0.05 || view.nodes.get(link.from_node)?.down ? 0 : calm;
    view.inRates.set(key, link.per_s);
    // A link between two tasks of this node is among its outgoing ones already.
    if (link.from_node === view.status.node) continue;
    edgeOf(view, link.from, link.to).ins.push(link);
    view.tasks.get(link.from)?.outs.push(link);
    view.tasks.get(link.to)?.ins.push(link);
  }
}

function taskState(view, task) {
  const raw = task.raw;
  const node = view.nodes.get(task.node);
  task.local = raw !== undefined;
  task.blocked = false;
  if (!task.local) {
    const sent = task.outs.filter((link) => link.ended !== undefined);
    task.state = sent.length > 0 && sent.every((link) => link.ended) ? "done" : node && node.down ? "down" : "away";
    return;
  }
  const first = raw.waits[0];
  const moves = raw.unmoved_s < RECENT_S && raw.in_per_s + raw.out_per_s > 0;
  const stalled = raw.stalled;
  const over = view.ended && view.status.state !== "done";
  if (raw.done) task.state = "done";
  else if (raw.paused) task.state = "paused";
  else if (over) task.state = (view.status.end.why || "").startsWith(task.name + ": ") ? "failed" : "idle";
  else if (stalled && !moves) task.state = "stalled";
  else if (moves) task.state = "moving";
  else if (first && waitClass(first.kind) === "blocked") task.state = "waiting";
  else if (raw.busy > 0.02 || (first && waitClass(first.kind) === "working")) task.state = "working";
  else task.state = "idle";
  task.blocked = stalled && task.state === "moving";
}

function taskText(view, task) {
  if (!task.local) {
    const node = view.nodes.get(task.node);
    return "on node " + task.node + ", " + (task.state === "done" ? "has ended" : node ? nodeText(node) : "unknown");
  }
  if (view.ended) return `${STATE_WORDS[task.state]}, ${plural(task.raw.records_in, "record")} taken, ${number(task.raw.queued_records)} left`;
  const word = STATE_WORDS[task.state] + (task.blocked ? ", but some of its output is stalled" : "");
  return word + ", " + rate(task.raw.in_per_s) + " done, " + number(task.raw.queued_records) + " queued";
}

// Records a second: of a source what it gives, else what is done. A sink that is a program gives nothing on before it has ended.
function flowOf(kind, of) {
  return kind === "source" ? of.out_per_s : of.in_per_s;
}

const RANK = ["failed", "stalled", "down", "paused", "moving", "working", "waiting", "idle", "away", "done"];

function stageOf(view, spec) {
  const tasks = [...view.tasks.values()].filter((task) => task.stage === spec.name);
  const here = tasks.filter((task) => task.local);
  const sum = (field) => here.reduce((total, task) => total + task.raw[field], 0);
  const counts = {};
  for (const task of tasks) counts[task.state] = (counts[task.state] || 0) + 1;
  const pool = here.length ? here : tasks;
  const state = RANK.find((name) => pool.some((task) => task.state === name)) || "idle";
  const held = here.flatMap((task) => task.outs).reduce((total, link) => total + (link.held_records || 0), 0);
  const stage = { ...spec, tasks, here, counts, state, held, blocked: here.some((task) => task.blocked) };
  for (const field of ["in_per_s", "out_per_s", "queued_records", "retried_records", "dead_records", "left_out_records", "done_records", "records_in", "records_out",
    "bytes_in", "bytes_out", "programs", "busy_s"]) stage[field] = sum(field);
  const lags = here.map((task) => task.raw).filter((raw) => raw.lag_bytes !== undefined);
  if (lags.length) stage.lag_bytes = lags.reduce((total, raw) => total + raw.lag_bytes, 0);
  if (lags.length) stage.lag_s = Math.max(...lags.map((raw) => raw.lag_s));
  stage.busy = here.length ? sum("busy") / here.length : 0;
  // What a stage far away does is seen by what passes between it and this node.
  const toIt = [...view.edges.values()].filter((edge) => edge.to === spec.name);
  stage.seen_per_s = toIt.flatMap((edge) => edge.outs).reduce((total, link) => total + link.per_s, 0);
  return stage;
}

function edgeState(view, edge) {
  const all = [...edge.outs, ...edge.ins];
  const sum = (field) => edge.outs.reduce((total, link) => total + link[field], 0);
  edge.held = sum("held_records");
  edge.per_s = view.ended ? 0 : all.reduce((total, link) => total + link.per_s, 0);
  edge.queued = edge.ins.reduce((total, link) => total + link.queued_records, 0);
  for (const link of edge.outs) link.state = linkState(view, link);
  for (const link of edge.ins) {
    const node = view.nodes.get(link.from_node);
    link.state = link.ended ? "done" : node && node.down ? "down" : link.per_s > 0 ? "moving" : "idle";
  }
  edge.state = all.length ? RANK.find((name) => all.some((link) => link.state === name)) || "idle" : "away";
  const from = view.byName.get(edge.from);
  if (edge.state === "idle" && from && from.state === "done") edge.state = "done";
}

function linkState(view, link) {
  const from = view.tasks.get(link.from);
  const wait = from && from.raw ? from.raw.waits.find((w) => w.on === link.to) : undefined;
  const node = view.nodes.get(link.to_node);
  if (!view.ended && wait && wait.stalled) return "stalled";
  if (node && node.down && link.held_records > 0) return "stalled";
  if (node && node.down) return "down";
  if (link.per_s > 0 && !view.ended) return "moving";
  if (link.held_records > 0) return "waiting";
  return from && from.state === "done" ? "done" : "idle";
}

// In one word and a sentence: how the run is.
function verdict(view) {
  const { status, why } = view;
  const over = status.end;
  if (status.state === "failed") return { state: "failed", word: "Failed", why: (over && over.why) || "the pipeline has failed" };
  if (status.state === "done") {
    const dead = view.stages.reduce((sum, stage) => sum + stage.dead_records, 0);
    const dropped = (status.links || []).reduce((sum, link) => sum + (link.dropped_records || 0), 0);
    const bad = [dead ? plural(dead, "dead letter") : "", dropped ? `${plural(dropped, "record")} dropped` : "", status.lost_records ? `at most ${plural(status.lost_records, "record")} lost` : ""].filter(Boolean).join(", ");
    return { state: bad ? "warned" : "done", word: bad ? "Done, with " + bad : "Done", why: "All input is processed" + (bad ? "; all else is delivered." : " and delivered.") };
  }
  if (status.state === "stopped") return { state: "paused", word: "Stopped", why: (over && over.why) || "Stopped by the user, in good order." };
  const drains = status.drain ? "Draining" : "Stopping";
  const draining = status.state === "draining" ? drains + ": " : "";
  if (view.stalls.length) {
    const group = view.stalls[0];
    const moves = view.stages.some((stage) => stage.here.some((task) => task.state === "moving"));
    const others = new Set(group.chains.slice(1).map((chain) => chain.task)).size;
    const rest = [];
    if (others) rest.push(plural(others, "other task") + " held up by the same");
    if (view.groups.length > 1) rest.push(plural(view.groups.length - 1, "other cause") + " below");
    const word = moves ? "Partly stalled" : "Stalled";
    return { state: "stalled", word: draining ? draining + word.toLowerCase() : word, for_s: group.for_s, why: group.chains[0].text,
      todo: group.chains[0].advice, more: rest.join("; ") };
  }
  const paused = view.stages.filter((stage) => stage.here.some((task) => task.state === "paused"));
  if (status.drain) return { state: "working", word: "Draining", why: "Sources give no more; the worker ends when all that was taken is delivered." };
  if (draining) return { state: "working", word: "Stopping", why: "Sources give no more; what was accepted is finished or, with state, kept for the next start." };
  if (paused.length) {
    const names = paused.map((stage) => stage.name).join(", ");
    const group = view.groups.find((g) => g.paused);
    const others = group ? [...new Set(group.chains.map((chain) => chain.task))].filter((name) => view.tasks.get(name)?.state !== "paused") : [];
    return { state: "paused", word: "Running, with " + names + " paused", for_s: group && group.for_s, why: others.length ? "Held up by it: " + others.join(", ") + "." : "Paused by the user; nothing else waits for it." };
  }
  const quiet = view.stages.every((stage) => stage.here.every((task) => ["idle", "done", "waiting"].includes(task.state)));
  const first = view.groups[0];
  const text = why.limit ? sentence(why.limit.text) : quiet && first ? first.chains[0].text : quiet ? "Nothing waits, and the input gives nothing now." : "Nothing is in the way.";
  return { state: "moving", word: "Running", why: text };
}
