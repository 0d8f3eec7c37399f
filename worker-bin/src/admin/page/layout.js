// Where the stages stand: in layers along the flow, ordered so that few links cross.
// `narrow`: in less, a stage's figures are cut.
const BOX = { min: 148, narrow: 165, max: 216, gapMin: 62, gapMax: 120, between: 20, dots: 14, cell: 2 };
// Beside each other in a narrow window: links that go round a box.
const LANE = { min: 4, max: 12 };
const LABEL = { width: 74, height: 34 };
const CELLS_MAX = 256;

// How the tasks of a stage are drawn in a box of this width, and how high that makes it.
function cellsOf(count, width) {
  const inner = width - 20;
  if (count <= 4) return { kind: "rows", columns: 1, height: count * 22 };
  const [kind, wide, high] = count <= 16 ? ["chips", 34, 22] : ["dots", 16, 16];
  const columns = Math.max(1, Math.floor((inner + 2) / wide));
  const shown = Math.min(count, CELLS_MAX);
  return { kind, columns, height: Math.ceil(shown / columns) * high + (count > CELLS_MAX ? 18 : 0) };
}

const boxHeight = (count, width) => 6 + 22 + 18 + 18 + 5 + cellsOf(count, width).height + 9;

function layersOf(stages) {
  const layer = new Map(stages.map((stage) => [stage.name, 0]));
  for (let round = 0; round < stages.length; round++) {
    for (const stage of stages) {
      for (const from of stage.from) layer.set(stage.name, Math.max(layer.get(stage.name), Math.min((layer.get(from) || 0) + 1, stages.length)));
    }
  }
  // A source that feeds only late stages stands just before them.
  for (const stage of stages.filter((s) => s.from.length === 0)) {
    const next = stages.filter((s) => s.from.includes(stage.name)).map((s) => layer.get(s.name));
    if (next.length) layer.set(stage.name, Math.max(0, Math.min(...next) - 1));
  }
  return layer;
}

// `vertical`: from top to bottom, for narrow windows; with as many stages beside each other as can be read.
function layoutOf(stages, width, vertical) {
  const layer = layersOf(stages);
  if (!vertical) return laidOut(stages, layer, width, false);
  const counts = [...layer.values()].reduce((all, at) => all.set(at, (all.get(at) || 0) + 1), new Map());
  for (let beside = Math.max(...counts.values()); ; beside--) {
    const layout = laidOut(stages, rowsOf(stages, layer, beside), width, true);
    if (layout.box >= BOX.narrow || beside <= 1) return layout;
  }
}

// Layers of at most so many stages: what has no room stands below.
function rowsOf(stages, layer, beside) {
  const rows = new Map();
  let first = 0;
  for (let at = 0; at <= Math.max(...layer.values()); at++) {
    const list = stages.filter((stage) => layer.get(stage.name) === at);
    const count = Math.ceil(list.length / beside);
    const each = Math.ceil(list.length / Math.max(1, count));
    list.forEach((stage, i) => rows.set(stage.name, first + Math.floor(i / each)));
    first += count;
  }
  return rows;
}

function laidOut(stages, layer, width, vertical) {
  const depth = Math.max(0, ...layer.values()) + 1;
  const layers = Array.from({ length: depth }, () => []);
  const nodes = new Map();
  for (const stage of stages) {
    const node = { id: stage.name, stage, layer: layer.get(stage.name), before: [], after: [] };
    nodes.set(stage.name, node);
    layers[node.layer].push(node);
  }
  const edges = [];
  for (const stage of stages) for (const from of stage.from) edges.push(wayOf(nodes.get(from), nodes.get(stage.name), layers));
  arrange(layers);
  const sizes = sizesOf(layers, width, vertical);
  layers.flat().forEach((node) => (node.band = Math.floor(node.layer / sizes.perBand)));
  place(layers, sizes, vertical);
  if (vertical) keepWithin(layers, width, sizes);
  const layout = { nodes, edges, box: sizes.box, ...extent(layers, sizes, vertical) };
  placeLabels(layout);
  return layout;
}

// A link over several layers gets a place in each of them, so that it goes round the boxes there.
function wayOf(from, to, layers) {
  const way = [from];
  for (let at = from.layer + 1; at < to.layer; at++) {
    const bend = { id: from.id + ">" + to.id + "@" + at, layer: at, before: [], after: [] };
    layers[at].push(bend);
    way.push(bend);
  }
  way.push(to);
  for (let i = 1; i < way.length; i++) {
    way[i - 1].after.push(way[i]);
    way[i].before.push(way[i - 1]);
  }
  return { id: from.id + ">" + to.id, way };
}

function arrange(layers) {
  const number = () => layers.forEach((nodes) => nodes.forEach((node, i) => (node.at = i)));
  number();
  for (let sweep = 0; sweep < 6; sweep++) {
    const [side, list] = sweep % 2 ? ["after", [...layers].reverse()] : ["before", layers];
    for (const nodes of list) {
      const mean = (node) => (node[side].length ? node[side].reduce((sum, other) => sum + other.at, 0) / node[side].length : node.at);
      nodes.forEach((node) => (node.want = mean(node)));
      nodes.sort((a, b) => a.want - b.want || a.at - b.at);
      nodes.forEach((node, i) => (node.at = i));
    }
  }
}

function sizesOf(layers, width, vertical) {
  if (vertical) {
    const most = Math.max(...layers.map((nodes) => nodes.filter((n) => n.stage).length));
    const bends = Math.max(...layers.map((nodes) => nodes.filter((n) => !n.stage).length));
    const lane = Math.max(LANE.min, Math.min(LANE.max, (width - BOX.narrow) / Math.max(1, bends)));
    const room = (width - bends * lane - (most - 1) * 12) / most;
    return { box: Math.max(118, Math.min(BOX.max + 60, room)), gap: 54, between: 12, lane, perBand: layers.length, margin: 0 };
  }
  // More layers than fit go on below, as lines of text do.
  const fit = Math.max(2, Math.floor((width + BOX.gapMin) / (BOX.min + BOX.gapMin)));
  const bands = Math.ceil(layers.length / fit);
  const depth = Math.ceil(layers.length / bands);
  const margin = bands > 1 ? 26 : 0;
  width -= 2 * margin;
  const box = Math.max(BOX.min, Math.min(BOX.max, (width - (depth - 1) * 84) / depth));
  const gap = depth > 1 ? Math.max(BOX.gapMin, Math.min(BOX.gapMax, (width - depth * box) / (depth - 1))) : 0;
  return { box, gap, between: BOX.between, perBand: depth, margin };
}

function place(layers, sizes, vertical) {
  for (const nodes of layers) {
    for (const node of nodes) {
      const high = node.stage ? boxHeight(node.stage.partitions, sizes.box) : 16;
      node.size = vertical ? (node.stage ? sizes.box : sizes.lane / 2) : high;
      node.length = vertical ? high : sizes.box;
    }
  }
  // `cross` is the middle of a node across the flow.
  for (const nodes of layers) stack(nodes, () => 0, sizes);
  for (let round = 0; round < 8; round++) {
    const [side, other, list] = round % 2 ? ["after", "before", [...layers].reverse()] : ["before", "after", layers];
    for (const nodes of list) {
      const of = (node, which) => node[which].filter((n) => n.band === node.band);
      const near = (node) => (of(node, side).length ? of(node, side) : of(node, other));
      const mean = (node) => (near(node).length ? near(node).reduce((sum, n) => sum + n.cross, 0) / near(node).length : node.cross);
      stack(nodes, mean, sizes);
    }
  }
}

function gapBefore(nodes, i, sizes) {
  if (i === 0) return 0;
  return sizes.lane && !(nodes[i].stage && nodes[i - 1].stage) ? sizes.lane / 2 : sizes.between;
}

// As near to where they want to be as their order and sizes allow.
function stack(nodes, want, sizes) {
  const wanted = nodes.map(want);
  let end = -Infinity;
  nodes.forEach((node, i) => {
    node.cross = Math.max(wanted[i], end + gapBefore(nodes, i, sizes) + node.size / 2);
    end = node.cross + node.size / 2;
  });
  if (nodes.length === 0) return;
  const off = nodes.reduce((sum, node, i) => sum + wanted[i] - node.cross, 0) / nodes.length;
  nodes.forEach((node) => (node.cross += off));
}

// Rows stand within the width of the window, or of the row that is wider.
function keepWithin(layers, width, sizes) {
  const room = (nodes) => nodes.reduce((sum, node, i) => sum + gapBefore(nodes, i, sizes) + node.size, 0);
  const all = layers.flat();
  const most = Math.max(width, ...layers.map(room));
  const [from, to] = [Math.min(...all.map((n) => n.cross - n.size / 2)), Math.max(...all.map((n) => n.cross + n.size / 2))];
  const left = (from + to - most) / 2;
  for (const nodes of layers) {
    let [before, behind] = [left, left + most - room(nodes)];
    nodes.forEach((node, i) => {
      const step = gapBefore(nodes, i, sizes) + node.size;
      [before, behind] = [before + step, behind + step];
      node.cross = Math.max(before - node.size / 2, Math.min(behind - node.size / 2, node.cross));
    });
  }
}

function extent(layers, sizes, vertical) {
  const bands = [];
  for (const node of layers.flat()) (bands[node.band] ||= []).push(node);
  let top = 0;
  const size = { vertical, width: 0, height: 0, gaps: [], margin: sizes.margin };
  bands.forEach((nodes, band) => {
    closeUp(nodes, sizes.between);
    const least = Math.min(...nodes.map((node) => node.cross - node.size / 2));
    nodes.forEach((node) => (node.cross += top - least));
    const across = Math.max(...nodes.map((node) => node.cross + node.size / 2));
    let along = sizes.margin;
    for (const layer of layers.slice(band * sizes.perBand, (band + 1) * sizes.perBand)) {
      const length = Math.max(...layer.map((node) => (node.stage ? node.length : 0)), 0);
      for (const node of layer) {
        const long = node.stage ? node.length : length;
        if (vertical) Object.assign(node, { x: node.cross - node.size / 2, y: along, w: node.size, h: long });
        else Object.assign(node, { x: along, y: node.cross - node.size / 2, w: long, h: node.size });
      }
      along += length + sizes.gap;
    }
    along += sizes.margin - sizes.gap;
    size.width = Math.max(size.width, vertical ? across : along);
    size.height = Math.max(size.height, vertical ? along : across);
    size.gaps.push(across + 26);
    top = across + 52;
  });
  return size;
}

// Removes strips along the flow that no box stands in.
function closeUp(nodes, between) {
  let [end, shift] = [-Infinity, 0];
  for (const node of [...nodes].sort((a, b) => a.cross - a.size / 2 - (b.cross - b.size / 2))) {
    const begin = node.cross - node.size / 2 - shift;
    if (end > -Infinity && begin > end + between) shift += begin - end - between;
    node.cross -= shift;
    end = Math.max(end, node.cross + node.size / 2);
  }
}

// Labels stand nearest to the receiver, where links that part early are told apart, or where there is room.
function placeLabels(layout) {
  const taken = [];
  for (const edge of layout.edges) {
    const path = pathOf(edge, layout);
    const half = LABEL.width / 2;
    const within = ([x, y]) => [Math.max(half, Math.min(Math.max(half, layout.width - half), x)), y];
    const places = path.places.map(within);
    const free = ([x, y]) => taken.every(([a, b]) => Math.abs(a - x) >= LABEL.width || Math.abs(b - y) >= LABEL.height);
    const place = places.find(free) || places[0];
    taken.push(place);
    Object.assign(edge, { d: path.d, label: place });
  }
}

// Curves of a link from box to box, with places for its label, the best first.
function pathOf(edge, layout) {
  const v = layout.vertical;
  const out = (node, to) => port(node, node.after, to, v, true);
  const into = (node, from) => port(node, node.before, from, v, false);
  const points = [];
  for (let i = 0; i < edge.way.length; i++) {
    const node = edge.way[i];
    if (i > 0) points.push(into(node, edge.way[i - 1]));
    if (i < edge.way.length - 1) points.push(out(node, edge.way[i + 1]));
  }
  let d = "M" + points[0].join(" ");
  const middles = [];
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1];
    const [x1, y1] = points[i];
    if (i % 2 === 1 && edge.way[(i - 1) / 2].band !== edge.way[(i + 1) / 2].band) {
      const band = edge.way[(i - 1) / 2].band;
      const all = layout.edges.filter((other) => crosses(other, band)).map((other) => other.id);
      const off = (all.indexOf(edge.id) - (all.length - 1) / 2) * Math.min(7, 30 / all.length);
      d += carriage(x0, y0, x1, y1, off, layout.gaps[band] + off, layout);
      middles.push([[(layout.width * (all.indexOf(edge.id) + 1)) / (all.length + 1), layout.gaps[band] + off]]);
      continue;
    }
    const bend = v ? (y1 - y0) / 2 : (x1 - x0) / 2;
    d += i % 2 === 0 ? " L" + x1 + " " + y1
      : v ? ` C${x0} ${y0 + bend} ${x1} ${y1 - bend} ${x1} ${y1}` : ` C${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`;
    if (i % 2 === 1) middles.push([0.5, 0.66, 0.34].map((t) => onCurve([x0, y0], [x1, y1], v, t)));
  }
  const [last, first] = [middles[middles.length - 1], middles[0]];
  return { d, places: [...last, ...first, ...middles.flat()] };
}

// Where a link is at this share of its way.
function onCurve([x0, y0], [x1, y1], vertical, t) {
  const along = (from, to) => from + (to - from) * (1.5 * t - 1.5 * t * t + t * t * t);
  const across = (from, to) => from + (to - from) * t * t * (3 - 2 * t);
  return vertical ? [across(x0, x1), along(y0, y1)] : [along(x0, x1), across(y0, y1)];
}

const crosses = (edge, band) => edge.way.some((node, i) => node.band === band && i + 1 < edge.way.length && edge.way[i + 1].band > band);

// From the end of one band to the beginning of the next.
function carriage(x0, y0, x1, y1, off, middle, layout) {
  const [right, left, r] = [layout.width - 14 - off / 2, 12 + off / 2, 6];
  return ` L${right - r} ${y0} Q${right} ${y0} ${right} ${y0 + r} L${right} ${middle - r} Q${right} ${middle} ${right - r} ${middle}` +
    ` L${left + r} ${middle} Q${left} ${middle} ${left} ${middle + r} L${left} ${y1 - r} Q${left} ${y1} ${left + r} ${y1} L${x1} ${y1}`;
}

function port(node, links, other, vertical, leaving) {
  const sorted = [...links].sort((a, b) => a.cross - b.cross);
  const share = (sorted.indexOf(other) + 1) / (sorted.length + 1);
  const spread = Math.min(node.size * 0.8, 26 * sorted.length);
  const cross = node.cross + (share - 0.5) * spread;
  const round = (n) => Math.round(n * 10) / 10;
  if (vertical) return [round(cross), round(leaving ? node.y + node.h : node.y)];
  return [round(leaving ? node.x + node.w : node.x), round(cross)];
}
