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
// Whole per cent of these parts, which make a hundred: what rounding leaves goes to those it took most from.
function shares(parts) {
  const whole = parts.reduce((sum, part) => sum + part, 0);
  if (whole <= 0) return parts.map(() => 0);
  const each = parts.map((part) => Math.floor((part / whole) * 100));
  const lack = (i) => (parts[i] / whole) * 100 - each[i];
  const order = parts.map((_, i) => i).sort((a, b) => lack(b) - lack(a));
  const rest = 100 - each.reduce((sum, part) => sum + part, 0);
  order.slice(0, rest).forEach((i) => (each[i] += 1));
  return each;
}

const percent = (share) => Math.round(share * 100) + "\u00a0%";

// Of a stream's program only the work is seen for which it was behind.
const atWork = (kind, share) => (kind !== "stream" ? percent(share) : share < 0.01 ? "\u2013" : "\u2265\u00a0" + percent(share));

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

// What each reason to wait is, as the worker says it: something in the way, work under way, or nothing to do; and in a few words.
let reasons = {};
const waitClass = (kind) => (reasons[kind] || { class: "blocked" }).class;
const waitTitle = (kind) => (reasons[kind] || { title: kind.replace(/_/g, " ") }).title;
const isAtWork = (kind) => (reasons[kind] || { at_work: false }).at_work;

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + ".";

const STATE_WORDS = {
  moving: "moving", working: "working", idle: "idle", waiting: "waiting", stalled: "stalled", paused: "paused", done: "done",
  failed: "failed", away: "on another node", down: "not connected",
};
const KIND_WORDS = { source: "source", batch: "batch", stream: "stream", records: "records", sink: "sink" };
