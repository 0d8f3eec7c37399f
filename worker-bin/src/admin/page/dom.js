// Elements from data. What stands in the document is changed in place, so focus, scrolling and animations last.
// Text is only ever set as text, and by visible: nothing a program, a record or a peer said is read as markup, or changes how others are shown.
const SVG = "http://www.w3.org/2000/svg";

function h(tag, props, ...kids) {
  const all = [];
  const add = (kid) => {
    if (Array.isArray(kid)) kid.forEach(add);
    else if (kid !== null && kid !== undefined && kid !== false) all.push(typeof kid === "object" ? kid : visible(String(kid)));
  };
  kids.forEach(add);
  return { tag, props: props || {}, kids: all };
}

// What shows nothing or changes the direction of writing stands there as an escape, as in a terminal.
const UNSEEN = /[\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}\u{ad}\u{61c}\u{180e}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{feff}\u{fff9}-\u{fffb}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e007f}]/gu;
const visible = (text) => text.replace(UNSEEN, (c) => "\\u{" + c.codePointAt(0).toString(16) + "}");

function sign(state) {
  return h("svg", { class: "sign", "aria-hidden": "true" }, h("use", { href: "#g-" + state }));
}

// Makes the children of `parent` these.
function patch(parent, kids) {
  const keyed = new Map();
  const loose = [];
  for (const old of parent.childNodes) {
    if (old.wKey !== undefined) keyed.set(old.wKey, old);
    else loose.push(old);
  }
  let before = parent.firstChild;
  for (const kid of kids) {
    let node = take(kid, keyed, loose);
    if (node === undefined) node = make(kid, parent);
    else if (typeof kid === "string") {
      if (node.nodeValue !== kid) node.nodeValue = kid;
    } else refresh(node, kid);
    if (node === before) before = before.nextSibling;
    else parent.insertBefore(node, before);
  }
  for (const rest of keyed.values()) rest.remove();
  for (const rest of loose) if (rest) rest.remove();
}

function take(kid, keyed, loose) {
  if (typeof kid !== "string" && kid.props.key !== undefined) {
    const found = keyed.get(kid.props.key);
    if (found === undefined || found.wTag !== kid.tag) return undefined;
    keyed.delete(kid.props.key);
    return found;
  }
  const tag = typeof kid === "string" ? undefined : kid.tag;
  const at = loose.findIndex((old) => old && old.wTag === tag && (tag !== undefined || old.nodeType === 3));
  return at < 0 ? undefined : loose.splice(at, 1)[0];
}

function make(kid, parent) {
  if (typeof kid === "string") return document.createTextNode(kid);
  const inSvg = kid.tag === "svg" || (parent.namespaceURI === SVG && parent.tagName !== "foreignObject");
  const node = inSvg ? document.createElementNS(SVG, kid.tag) : document.createElement(kid.tag);
  node.wTag = kid.tag;
  if (kid.props.key !== undefined) node.wKey = kid.props.key;
  node.wProps = {};
  refresh(node, kid);
  return node;
}

function refresh(node, kid) {
  const old = node.wProps || {};
  for (const name in old) if (!(name in kid.props)) set(node, name, undefined);
  for (const name in kid.props) if (old[name] !== kid.props[name]) set(node, name, kid.props[name]);
  node.wProps = kid.props;
  patch(node, kid.kids);
}

function set(node, name, value) {
  if (name === "key") return;
  if (name.startsWith("on")) node[name] = value || null;
  else if (name === "style") styled(node, value || {});
  else if (value === undefined || value === null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : visible(String(value)));
}

// One property at a time: the page's policy takes no style that is text.
function styled(node, style) {
  for (const name of [...node.style]) if (!(name in style)) node.style.removeProperty(name);
  for (const name in style) if (node.style.getPropertyValue(name) !== style[name]) node.style.setProperty(name, style[name]);
}

const at = (id) => document.getElementById(id);
const write = (id, text) => { at(id).textContent = visible(text); };
const show = (id, ...kids) => patch(at(id), h("x", null, ...kids).kids);
