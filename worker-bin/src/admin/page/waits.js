// What waits now, by root cause, and the stalls that began and ended since the page was opened.
const stallLog = [];
const LOG_MAX = 200;

// Compares with what was stalled before; called for every event, seen or not.
function noteStalls(view) {
  const now = view.status.at_ms;
  const standing = new Map(view.stalls.map((group) => [group.root, group]));
  for (const entry of stallLog) {
    if (entry.to !== null) continue;
    const group = standing.get(entry.root);
    if (!group || view.ended) {
      entry.to = now;
      entry.cut = Boolean(group);
    } else {
      entry.tasks = Math.max(entry.tasks, group.chains.length);
      entry.text = group.chains[0].text;
      standing.delete(entry.root);
    }
  }
  if (view.ended) return;
  for (const group of standing.values()) {
    stallLog.unshift({ root: group.root, title: group.title, state: group.state, text: group.chains[0].text, tasks: group.chains.length, from: now - group.for_s * 1000, to: null, cut: false });
  }
  stallLog.length = Math.min(stallLog.length, LOG_MAX);
}

function renderWaits(view) {
  const groups = view.ended ? [] : view.groups;
  // Dead letters have a list of their own, and the end is in the headline.
  const notes = view.why.notes.filter((note) => !/ dead letters?;/.test(note)).filter((note) => !view.status.end || !view.status.end.why || !note.includes(view.status.end.why));
  const parts = groups.map((group) => waitGroup(group));
  if (groups.length === 0) parts.push(h("p", { class: "calm" }, view.ended ? "The run is over." : "Nothing waits."));
  const limit = view.why.limit;
  if (groups.length && limit && !view.ended) parts.push(h("p", { class: "calm" }, sentence((limit.elsewhere ? "elsewhere " : "") + limit.text)));
  show("waits-now", parts, notes.map((note) => h("p", { class: "calm" }, note)));
  const entries = stallLog.map((entry) => h("li", { key: entry.root + entry.from },
    h("span", { class: "muted" }, clock(entry.from)),
    entry.to === null ? stateMark(entry.state, "lasts, " + duration((view.status.at_ms - entry.from) / 1000))
      : stateMark(entry.cut ? "idle" : "done", (entry.cut ? "until the end, " : "over at " + clock(entry.to) + " after ") + duration((entry.to - entry.from) / 1000)),
    h("span", { class: "text" }, entry.title + (entry.tasks > 1 ? ` (${entry.tasks} tasks)` : "") + ": " + entry.text)));
  show("waits-log", entries.length ? h("ul", { class: "log" }, entries) : h("p", { class: "calm" }, "None."));
}

function waitGroup(group) {
  const chain = group.chains[0];
  const others = [...new Set(group.chains.slice(1).map((c) => c.task))].filter((name) => name !== chain.task && name !== chain.steps[chain.steps.length - 1].task);
  const named = others.slice(0, 6).join(", ") + (others.length > 6 ? ` and ${number(others.length - 6)} more` : "");
  const state = group.state;
  return h("div", { class: "wait", key: group.root, "data-state": state, "data-root": group.root },
    h("div", { class: "title" }, stateMark(state, group.title), h("span", { class: "muted" }, (state === "stalled" ? "stalled for " : "for ") + duration(group.for_s))),
    chainSteps(chain), others.length ? h("p", { class: "muted" }, (group.paused ? "Paused too, or held up by that: " : "Also held up by that: ") + named) : null);
}

const ATTEMPTS = "Runs that it was in and that failed: alone, and in each larger batch before";
let deadLetters = [];
let deadSeen = -1;

// Asks for the dead letters when there are more of them.
function noteDead(view) {
  const total = view.status.tasks.reduce((sum, task) => sum + task.dead_records, 0);
  if (total === deadSeen) return;
  const before = deadSeen;
  deadSeen = total;
  if (total === 0) {
    deadLetters = [];
    return;
  }
  fetchJson("/api/v1/dead").then((letters) => {
    deadLetters = letters;
    render();
  }).catch(() => { deadSeen = before; });
}

function renderDead(view) {
  const total = view.status.tasks.reduce((sum, task) => sum + task.dead_records, 0);
  write("dead-count", total === 0 ? "" : plural(total, "record") + " dead-lettered" + (total > deadLetters.length ? `; the last ${deadLetters.length} are shown` : ""));
  at("main").classList.toggle("has-dead", total > 0);
  if (total === 0) return show("dead-list", h("p", { class: "calm" }, "None: no record was dead-lettered."));
  const groups = groupLetters();
  const shown = groups.slice(0, deadAll ? groups.length : 12);
  show("dead-list", h("table", { class: "letters" }, h("caption", { class: "unseen" }, "The last dead letters by task and reason, newest first"),
    h("thead", null, h("tr", null, ["Last", "Task", "Reason", "Times", "Attempts", "Size"].map((name, i) => h("th", { scope: "col", class: i > 2 ? "num" : "", title: name === "Attempts" ? ATTEMPTS : undefined }, name)))),
    h("tbody", null, shown.map((group) => h("tr", { key: group.key }, h("td", { class: "when" }, clock(group.at_ms)),
      h("td", { class: "when" }, h("button", { type: "button", class: "link", "data-open": "task:" + group.task }, group.task)), h("td", { class: "text" }, group.reason),
      h("td", { class: "num" }, h("span", { class: "only-narrow" }, "times: "), number(group.count)),
      h("td", { class: "num" }, h("span", { class: "only-narrow" }, "attempts: "), number(group.attempts)),
      h("td", { class: "num" }, h("span", { class: "only-narrow" }, "size: "), group.least === group.most ? bytes(group.most) : bytes(group.least) + " \u2013 " + bytes(group.most)))))),
  groups.length > shown.length ? h("button", { type: "button", class: "quiet", "data-more-dead": "1" }, `Show ${number(groups.length - shown.length)} more`) : null,
  h("p", { class: "calm" }, h("code", null, "worker dlq list"), " shows all of them, ", h("code", null, "worker dlq replay"), " runs them again when the run has ended, and ", h("code", null, "worker dlq repro"), " shows how each failed."));
}

// Letters of one task for one reason together, the newest first.
function groupLetters() {
  const groups = new Map();
  for (const letter of [...deadLetters].reverse()) {
    const key = letter.task + " " + letter.reason;
    const size = letter.record_bytes;
    if (!groups.has(key)) groups.set(key, { ...letter, key, count: 0, least: size, most: size });
    const group = groups.get(key);
    group.count += 1;
    group.attempts = Math.max(group.attempts, letter.attempts);
    [group.least, group.most] = [Math.min(group.least, size), Math.max(group.most, size)];
  }
  return [...groups.values()];
}
let deadAll = false;
