// What htmx does not do by itself: parts that are as they were are not put in again, the chart, the dialogs, ages.
"use strict";

const AGAIN_MS = 2000;

// ---- parts: each keeps the ETag of what it shows

const tags = new Map();
const scrolled = new Map();

function key(detail) {
  return detail.requestConfig ? detail.requestConfig.path : detail.path;
}

document.addEventListener("htmx:configRequest", (event) => {
  const { verb, path, target, triggeringEvent } = event.detail;
  const asked = triggeringEvent && triggeringEvent.type === "click";
  if (verb === "get" && !asked && tags.get(path) && tags.get(path).shown === target.id) {
    event.detail.headers["If-None-Match"] = tags.get(path).tag;
  }
});

document.addEventListener("htmx:beforeRequest", (event) => {
  const { verb } = event.detail.requestConfig;
  if (verb === "get" && document.hidden) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  document.querySelectorAll(".scroll[id]").forEach((one) => scrolled.set(one.id, [one.scrollLeft, one.scrollTop]));
  const tag = event.detail.xhr.getResponseHeader("ETag");
  if (tag && event.detail.requestConfig.verb === "get") tags.set(key(event.detail), { tag, shown: event.detail.target.id });
});

document.addEventListener("htmx:afterSwap", () => {
  document.querySelectorAll(".scroll[id]").forEach((one) => {
    const place = scrolled.get(one.id);
    if (place) [one.scrollLeft, one.scrollTop] = place;
  });
  tellAges();
  tellState();
});

// A change of the trader's state is spoken once, and nothing else that the part has.
function tellState() {
  const said = document.getElementById("state-said");
  if (!said) return;
  const parts = document.querySelectorAll("#figures .badge, #figures .alarm");
  const text = [...parts].map((one) => one.textContent).join(". ");
  if (said.dataset.last !== undefined && said.dataset.last !== text) said.textContent = text;
  said.dataset.last = text;
}

function reached(is) {
  const said = document.getElementById("contact");
  const text = is ? "" : "No answer: what is shown may be old";
  if (said.textContent !== text) said.textContent = text;
}
document.addEventListener("htmx:sendError", () => reached(false));
document.addEventListener("htmx:timeout", () => reached(false));
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.xhr && event.detail.xhr.status) reached(true);
  if (event.detail.xhr && event.detail.xhr.status === 401) location.reload();
});

// ---- ages

function age(seconds) {
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * unit) return `${Math.round(seconds / unit)} ${name} ago`;
  }
  return `${Math.max(0, Math.round(seconds))} s ago`;
}

function tellAges() {
  document.querySelectorAll("time[data-since]").forEach((one) => {
    const text = age(Date.now() / 1000 - Number(one.dataset.since));
    if (one.textContent !== text) one.textContent = text;
  });
}

// ---- dialogs

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (field.dataset.confirms !== undefined) {
    field.setCustomValidity(field.value === "" || field.value === field.dataset.confirms ? "" : `Type ${field.dataset.confirms}`);
  }
});

document.addEventListener("changed", (event) => {
  const dialog = event.target.closest ? event.target.closest("dialog") : null;
  if (!dialog) return;
  const said = dialog.querySelector("[role=alert]");
  document.getElementById("done").replaceChildren(...said.childNodes);
  document.getElementById("lock").hidden = false;
  document.getElementById("unlock").hidden = true;
  dialog.querySelector("form").reset();
  document.querySelectorAll("dialog input[name=token]").forEach((field) => field.closest("label").remove());
  dialog.close();
});

// ---- the chart

const DASHES = ["solid", "solid", "dot", "dash", "dashdot"];
let chartTag = null;
let charted = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(box) {
  const ink = colour("--ink");
  const lines = charted.lines.map((line, at) => ({
    x: line.x, y: line.y, name: line.name, type: "scatter", mode: line.x.length > 1 ? "lines" : "markers",
    line: { color: colour(`--line-${at % 5 + 1}`), width: at === 0 ? 2.2 : 1.4, dash: DASHES[at % 5] },
    hovertemplate: "%{y:$,.2f}",
  }));
  // The trader's own line is drawn above the others.
  const order = lines.slice(1).concat(lines.slice(0, 1));
  const layout = {
    uirevision: "kept", showlegend: false, hovermode: "x unified", dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
    margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
    hoverlabel: { bgcolor: colour("--sheet"), bordercolor: colour("--strong"), font: { color: ink } },
    xaxis: { type: "date", automargin: true, gridcolor: "rgba(0,0,0,0)", linecolor: colour("--strong"), tickcolor: colour("--strong"), ticks: "outside", title: { text: "UTC", font: { size: 11, color: colour("--soft") } } },
    yaxis: { automargin: true, gridcolor: colour("--line"), zeroline: false, tickformat: "$,.4~s" },
  };
  window.Plotly.react(box, order, layout, { displayModeBar: false, responsive: true });
}

function money(value) {
  return `${value < 0 ? "\u2212" : ""}$${Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

function tabulate() {
  const rows = charted.lines.map((line, at) => {
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    const mark = document.createElement("span");
    mark.className = "key-line";
    mark.style.borderTopColor = `var(--line-${at % 5 + 1})`;
    mark.style.borderTopStyle = DASHES[at % 5] === "solid" ? "solid" : DASHES[at % 5] === "dot" ? "dotted" : "dashed";
    name.append(mark, line.name);
    const share = `${line.change < 0 ? "\u2212" : "+"}${Math.abs(100 * line.change).toFixed(2)}%`;
    row.append(name, ...[money(line.last), share].map((text) => {
      const cell = document.createElement("td");
      cell.className = "n";
      cell.textContent = text;
      return cell;
    }));
    return row;
  });
  document.getElementById("equity-lines").replaceChildren(...rows);
}

async function chart(box) {
  if (!document.hidden) {
    try {
      const answer = await fetch(box.dataset.source, { headers: chartTag ? { "If-None-Match": chartTag } : {} });
      if (answer.status === 200) {
        chartTag = answer.headers.get("ETag");
        charted = await answer.json();
        const said = charted.is_waiting ? "The session is being replayed for the backtest and the baselines." : charted.said && `There is no backtest beside it: ${charted.said}.`;
        document.getElementById("equity-said").textContent = said;
        if (charted.lines.length) {
          tabulate();
          draw(box);
        }
      } else if (answer.status !== 304) {
        document.getElementById("equity-said").textContent = "The chart cannot be read.";
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // no answer, which the parts say
    }
  }
  window.setTimeout(() => chart(box), AGAIN_MS);
}

document.addEventListener("DOMContentLoaded", () => {
  tellAges();
  tellState();
  window.setInterval(tellAges, 1000);
  const box = document.querySelector(".chart");
  if (box) {
    chart(box);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charted && charted.lines.length && draw(box));
  }
});
