// Orders of the user: they need the token, which stays in this variable and nowhere else.
let token = null;
let pending = null;

const ORDERS = {
  pause: (stage) => ({ path: `/api/v1/stages/${encodeURIComponent(stage)}/pause`, title: `Pause ${stage}?`, go: "Pause",
    what: "Its tasks on this node start no new work until you resume it. What feeds it waits once its queues are full." }),
  resume: (stage) => ({ path: `/api/v1/stages/${encodeURIComponent(stage)}/resume`, title: `Resume ${stage}?`, go: "Resume", what: "Its tasks on this node go on." }),
  drain: () => ({ path: "/api/v1/stop", title: "Stop in good order?", go: "Stop", confirm: true,
    what: "Sources end here, what was accepted is finished or, with state, kept for the next start, and the worker of this node ends. The same as SIGTERM." }),
};

function order(kind, stage) {
  pending = ORDERS[kind](stage);
  if (token !== null && !pending.confirm) return send(token);
  write("order-title", pending.title);
  write("order-what", pending.what);
  write("order-go", pending.go);
  at("order-token").hidden = token !== null;
  at("token").value = "";
  orderError(null);
  at("order").showModal();
  (token === null ? at("token") : at("order-go")).focus();
}

function orderError(text) {
  write("order-error", text || "");
  at("order-error").hidden = text === null;
  if (text !== null && !at("order").open) notice(text);
}

async function send(given) {
  const asked = pending;
  at("order-go").disabled = true;
  try {
    const headers = { Authorization: "Bearer " + given };
    const answer = await fetch(asked.path, { method: "POST", headers });
    if (answer.status === 401) {
      token = null;
      if (!at("order").open) order(...again(asked));
      at("order-token").hidden = false;
      orderError("This token is wrong: the worker did not accept it, and nothing was changed.");
      at("token").focus();
      at("token").select();
      return;
    }
    const text = await answer.text();
    if (!answer.ok) return orderError("The worker refused: " + text.trim());
    token = given;
    at("order").close();
    notice("Done: " + JSON.parse(text).did);
  } catch (error) {
    const bad = error instanceof TypeError && /header|ByteString|ISO-8859/i.test(error.message);
    orderError(bad ? "This token is wrong: it has characters that no token has." : "No answer from the worker: the connection failed.");
  } finally {
    at("order-go").disabled = false;
  }
}

// The order that was given with a token that is no longer taken.
function again(asked) {
  const found = asked.path.match(/stages\/(.*)\/(pause|resume)$/);
  return found ? [found[2], decodeURIComponent(found[1])] : ["drain"];
}

let noticeTimer = 0;
function notice(text) {
  write("notice", text);
  at("notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { at("notice").hidden = true; }, 12000);
}

function startOrders() {
  at("order-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = token !== null ? token : at("token").value.trim();
    if (given === "") {
      orderError("An order needs the token.");
      return at("token").focus();
    }
    send(given);
  });
  at("order-cancel").addEventListener("click", () => at("order").close());
  at("drain").addEventListener("click", () => order("drain"));
}
