"use strict";
// The page's data stands before this file as `data`; entries come from files of a few entries each, loaded when one of
// them is about to be seen. Whatever came from outside is put on the page as text alone.
const PAGE = 60, KEPT = 64;
const chunks = new Map(), waiting = new Map();
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const at = (id) => document.getElementById(id);

window.blemishEntries = (number, entries) => {
  chunks.set(number, entries);
  for (const found of waiting.get(number) || []) found();
  waiting.delete(number);
  for (const old of chunks.keys()) if (chunks.size > KEPT && old !== number) chunks.delete(old);
};
// Calls `use` with an entry as soon as its file is there.
const withEntry = (place, use, missing) => {
  const number = Math.floor(place / data.chunkSize);
  const found = () => use(chunks.get(number)[place % data.chunkSize]);
  if (chunks.has(number)) return found();
  if (waiting.has(number)) return waiting.get(number).push(found);
  waiting.set(number, [found]);
  const gone = () => { waiting.delete(number); missing(); };
  document.head.append(make("script", { src: data.files[number], onerror: gone }));
};

const value = (column, place) => "words" in column ? column.words[column.values[place]] : column.values[place];
const told = (column, place) => {
  const one = value(column, place);
  if ("words" in column) return one;
  return one === null ? "" : `${column.name} ${column.percent ? `${(100 * one).toFixed(1)}%` : one}`;
};

const fill = (node, entry, panel) => {
  node.className = `panel ${panel.blend}`;
  const layers = panel.layers.map((slot) => entry.pictures[slot]);
  if (layers.some((one) => !one)) return node.replaceChildren(make("div", { className: "none", textContent: "none" }));
  node.replaceChildren(...layers.map((src) => make("img", { src, alt: panel.name })));
};
const panelNode = (entry, panel) => {
  const node = make("div", { title: panel.name });
  fill(node, entry, panel);
  const other = data.panels[panel.flip];
  if (other) {
    node.onpointerenter = () => fill(node, entry, other);
    node.onpointerleave = () => fill(node, entry, panel);
  }
  return node;
};

const enlarge = (place) => withEntry(place, (entry) => {
  const panels = data.panels.map((panel) => make("figure", {}, panelNode(entry, { ...panel, flip: -1 }),
    make("figcaption", { textContent: panel.name })));
  at("title").textContent = data.keys[place];
  at("caption").textContent = entry.caption;
  at("large").replaceChildren(...panels);
  at("facts").textContent = entry.facts;
  if (!at("one").open) at("one").showModal();
}, () => {});

const card = (place) => {
  const panels = make("div", { className: "panels" });
  const line = data.columns.filter((column) => column.shown).map((column) => told(column, place)).filter(Boolean)
    .join(", ");
  const caption = make("span", { textContent: " " });
  const node = make("button", { className: "card", type: "button", onclick: () => enlarge(place) },
    panels, make("b", { textContent: data.keys[place] }), make("span", { textContent: line, title: line }), caption);
  panels.replaceChildren(...shown().map(() => make("div", { className: "panel" })));
  node.load = () => withEntry(place, (entry) => {
    panels.replaceChildren(...shown().map((panel) => panelNode(entry, panel)));
    caption.textContent = caption.title = entry.caption;
  }, () => { caption.textContent = "its file is missing"; });
  return node;
};

const shown = () => data.panels.filter((panel, number) => at(`panel${number}`).checked);
const seen = new IntersectionObserver((changes) => {
  for (const change of changes) if (change.isIntersecting) {
    seen.unobserve(change.target);
    change.target.load();
  }
}, { rootMargin: "100px" });

let chosen = [], page = 0;
const draw = () => {
  const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const many = Math.max(1, shown().length);
  at("grid").style.setProperty("--panels", many);
  at("grid").style.setProperty("--card", `min(${many * 9.5 + 1}rem, 100%)`);
  seen.disconnect();
  const cards = chosen.slice(page * PAGE, (page + 1) * PAGE).map(card);
  at("grid").replaceChildren(...cards);
  for (const one of cards) seen.observe(one);
  at("count").textContent = `${chosen.length} of ${data.keys.length}`;
  at("page").textContent = `page ${page + 1} of ${pages}`;
  at("before").disabled = page === 0;
  at("after").disabled = page === pages - 1;
};

const tests = [];
const choose = () => {
  const places = data.keys.map((_, place) => place).filter((place) => tests.every((test) => test(place)));
  const [name, way] = [at("sort").value, at("way").value === "up" ? 1 : -1];
  const column = data.columns.find((one) => one.name === name);
  if (column) {
    const worth = (place) => { const one = value(column, place); return one === null ? -Infinity : one; };
    places.sort((a, b) => (worth(a) > worth(b) ? way : worth(a) < worth(b) ? -way : a - b));
  } else if (way < 0) places.reverse();
  chosen = places;
  page = 0;
  draw();
};

const addColumn = (column) => {
  if ("words" in column ? column.words.length < 2 : column.values.every((one) => one === null)) return;
  at("sort").append(make("option", { value: column.name, textContent: column.name }));
  if ("words" in column) {
    const menu = make("select", { onchange: choose }, make("option", { value: "-1", textContent: "all" }));
    column.words.forEach((word, number) => menu.append(make("option", { value: number, textContent: word || "none" })));
    at("filters").append(make("label", { title: column.meaning }, column.name, menu));
    return tests.push((place) => menu.value === "-1" || column.values[place] === Number(menu.value));
  }
  const scale = column.percent ? 100 : 1;
  const box = (word) => make("input", { type: "number", step: "any", placeholder: word, oninput: choose,
    ariaLabel: `${column.name}, ${word}` });
  const [least, most] = [box("from"), box("to")];
  const unit = column.percent ? ", %" : "";
  at("filters").append(make("label", { title: column.meaning }, column.name + unit, least, most));
  tests.push((place) => {
    const one = column.values[place];
    if (one === null) return least.value === "" && most.value === "";
    return (least.value === "" || scale * one >= Number(least.value)) &&
      (most.value === "" || scale * one <= Number(most.value));
  });
};

at("sort").append(make("option", { value: "", textContent: data.order }));
data.columns.forEach(addColumn);
data.panels.forEach((panel, number) => at("panels").append(make("label", {}, make("input",
  { type: "checkbox", id: `panel${number}`, checked: panel.shown, onchange: draw }), panel.name)));
at("sort").onchange = at("way").onchange = choose;
at("before").onclick = () => { page -= 1; draw(); scrollTo(0, 0); };
at("after").onclick = () => { page += 1; draw(); scrollTo(0, 0); };
at("close").onclick = () => at("one").close();
const reasons = at("reason");
if (reasons) reasons.onchange = () => {
  for (const row of document.querySelectorAll("tr[data-reason]")) {
    row.hidden = reasons.value !== "" && row.dataset.reason !== reasons.value;
  }
};
choose();
