// Numbers and times as people say them; the same words as on the terminal.
function number(n) {
  const [whole, part] = String(n).split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  return part === undefined ? spaced : spaced + "." + part;
}

// At most four digits: 812, 9 999, 12.3 k, 4.1 M.
function short(n) {
  if (n < 9999.5) return number(n > 0 && n < 9.95 && !Number.isInteger(n) ? n.toFixed(1) : Math.round(n));
  for (const unit of ["k", "M", "G"]) {
    n /= 1000;
    if (n < 999.5) return (n < 99.95 ? n.toFixed(1) : Math.round(n)) + "\u00a0" + unit;
  }
  return Math.round(n / 1000) + "\u00a0T";
}

const rate = (n) => short(n) + "/s";
const plural = (n, one, many) => number(n) + " " + (n === 1 ? one : many || one + "s");
const percent = (share) => Math.round(share * 100) + "\u00a0%";

function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1023.5) return (n < 9.95 && unit !== "B" ? n.toFixed(1) : Math.round(n)) + "\u00a0" + unit;
    n /= 1024;
  }
  return n.toFixed(1) + "\u00a0TiB";
}

function duration(s) {
  if (s < 9.95) return s.toFixed(1) + "\u00a0s";
  if (s < 99.5) return Math.round(s) + "\u00a0s";
  const whole = Math.floor(s);
  if (whole < 6000) return Math.floor(whole / 60) + "\u00a0min " + (whole % 60) + "\u00a0s";
  if (whole < 360000) return Math.floor(whole / 3600) + "\u00a0h " + Math.floor((whole % 3600) / 60) + "\u00a0min";
  return Math.floor(whole / 86400) + "\u00a0d " + Math.floor((whole % 86400) / 3600) + "\u00a0h";
}

function clock(ms) {
  const two = (n) => String(n).padStart(2, "0");
  const date = new Date(ms);
  const time = two(date.getHours()) + ":" + two(date.getMinutes()) + ":" + two(date.getSeconds());
  const today = new Date().toDateString() === date.toDateString();
  return today ? time : date.getFullYear() + "-" + two(date.getMonth() + 1) + "-" + two(date.getDate()) + " " + time;
}

// What each reason to wait is: something in the way, work under way, or nothing to do; and in a few words.
const WAITS = {
  peer_down: ["blocked", "other node not connected"],
  upstream_down: ["blocked", "sending node not connected"],
  not_open: ["blocked", "receiver has not answered"],
  unacknowledged: ["blocked", "receiver has not acknowledged"],
  no_credit: ["blocked", "receiver takes no more"],
  outbox_full: ["blocked", "next stage is behind (memory)"],
  spill_limit: ["blocked", "next stage is behind (disk)"],
  storage_full: ["blocked", "state disk full"],
  disk_full: ["blocked", "output disk full"],
  committing: ["working", "commit under way"],
  no_slot: ["working", "no slot free"],
  backoff: ["blocked", "failed, tried again later"],
  child_busy: ["working", "program busy"],
  child_hung: ["blocked", "program hangs"],
  child_buffers: ["idle", "program buffers its output"],
  writing: ["working", "writing"],
  write_hung: ["blocked", "its reader takes nothing"],
  child_not_reading: ["working", "program is behind"],
  awaiting_end: ["idle", "program waits for the end of input"],
  paused: ["blocked", "paused"],
  dead_limit: ["blocked", "too many dead letters"],
  source_idle: ["idle", "input gives nothing"],
  linger: ["working", "gathering a batch"],
};
const waitClass = (kind) => (WAITS[kind] || ["blocked"])[0];
const waitName = (kind) => (WAITS[kind] || ["", kind.replace(/_/g, " ")])[1];

function chainText(chain) {
  const steps = chain.steps.map((step, at) => {
    const before = at > 0 ? chain.steps[at - 1].task : null;
    if (before === step.task) return "; that is because " + step.wait.text;
    return (before === null ? "" : "; there, ") + step.task + " waits: " + step.wait.text;
  }).join("");
  return chain.sources_paused.length ? steps + "; " + chain.sources_paused.join(", ") + " paused by it" : steps;
}

function limitText(limit) {
  if (limit.kind === "source_idle") return "As fast as its input: source " + limit.stage + " gives no more than this.";
  if (limit.kind === "writing") return "Limited by sink " + limit.stage + ", which writes " + percent(limit.busy) + " of the time.";
  if (limit.kind === "committing") return "Limited by the disk that stage " + limit.stage + " commits to.";
  return "Limited by stage " + limit.stage + ", whose programs are busy " + percent(limit.busy) + " of the time.";
}

const STATE_WORDS = {
  moving: "moving", working: "working", idle: "idle", waiting: "waiting", stalled: "stalled", paused: "paused", done: "done",
  failed: "failed", away: "on another node", down: "not connected",
};
const KIND_WORDS = { source: "source", batch: "batch", stream: "stream", records: "records", sink: "sink" };
