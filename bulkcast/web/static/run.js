// The progress of a run.  Each event holds the whole state, so that one that is missed does no harm.

import { show as notify } from "/static/notification.js";

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN_EVERY_MS = 5000; // a tab that nobody looks at asks now and then
const place = document.querySelector("[data-events]");
let source = null;
let timer = 0;
let failuresShown = "";
let hasEnded = false;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Put a text where it is shown, only if it is another: screen readers tell each change. */
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function showBanners(banners) {
  const box = document.querySelector("[data-banners]");
  box.hidden = !banners.length;
  const shown = [...box.children].map((one) => one.dataset.text ?? one.textContent.trim());
  if (JSON.stringify(shown) === JSON.stringify(banners.map((one) => one.text))) return;
  box.replaceChildren(
    ...banners.map(({ kind, text }) => {
      const made = document.getElementById(`banner-${kind}`).content.firstElementChild.cloneNode(true);
      made.querySelector("p").textContent = text;
      made.dataset.text = text;
      return made;
    }),
  );
}

function showCounts(now) {
  const total = now.counts.reduce((sum, one) => sum + one.n, 0);
  const bar = document.querySelector("[data-bar] svg");
  bar.setAttribute("aria-label", now.counts_said);
  let x = 0;
  bar.replaceChildren(
    ...now.counts.map(({ status, n }) => {
      const part = document.createElementNS(SVG, "rect");
      const width = (100 * n) / total;
      part.setAttribute("class", `fill-${status}`);
      part.setAttribute("x", x);
      part.setAttribute("y", 0);
      part.setAttribute("width", width);
      part.setAttribute("height", 1);
      x += width;
      return part;
    }),
  );
  document.querySelector("[data-counts]").replaceChildren(
    ...now.counts.map(({ status, text, word }) => {
      const made = element("li", `state state-${status}`);
      made.append(element("strong", "num", text), ` ${word}`);
      return made;
    }),
  );
}

function showFailures(failures) {
  const key = JSON.stringify(failures);
  if (key === failuresShown) return;
  failuresShown = key;
  const box = document.querySelector("[data-failures]");
  box.hidden = !failures.length;
  box.querySelector("tbody").replaceChildren(
    ...failures.map(({ row, classroom, status, word, message, time }) => {
      const line = element("tr");
      const state = element("td");
      state.append(element("span", `state state-${status}`, word));
      line.append(
        element("td", "num", row),
        element("td", "num", classroom),
        state,
        element("td", "", message),
        element("td", "num", time),
      );
      return line;
    }),
  );
}

/** Show a snapshot. */
export function show(now) {
  document.title = `${now.title} · bulkcast`;
  for (const node of document.querySelectorAll("[data-text]")) {
    if (node.dataset.text in now) put(node, now[node.dataset.text]);
  }
  document.getElementById("progress").value = now.percent;
  place.dataset.phase = now.phase;
  for (const node of document.querySelectorAll("[data-when]")) {
    node.hidden = !node.dataset.when.split(" ").includes(now.phase);
  }
  document.querySelector("[data-lost]").hidden = true;
  showBanners(now.banners);
  showCounts(now);
  showFailures(now.failures);
  if (now.is_over) end(now);
}

function end(now) {
  if (hasEnded) return;
  hasEnded = true;
  listen(false);
  notify(now.ended, now.counts_said, now.address);
  window.location.replace(now.address);
}

function lost() {
  document.querySelector("[data-lost]").hidden = false;
}

/** One stream of events while the tab is looked at: a browser has few connections for each host. */
function listen(on) {
  if (source) source.close();
  source = null;
  if (!on) return;
  source = new EventSource(place.dataset.events);
  source.addEventListener("message", (event) => show(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    lost();
    if (source && source.readyState === EventSource.CLOSED) {
      listen(false);
      window.clearTimeout(timer);
      timer = window.setTimeout(attend, HIDDEN_EVERY_MS); // it does not try again by itself
    }
  });
}

async function ask() {
  try {
    const answer = await fetch(`${place.dataset.events}?once=1`);
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
  } catch {
    lost();
  }
  if (!hasEnded) attend();
}

function attend() {
  window.clearTimeout(timer);
  if (hasEnded) return;
  if (document.visibilityState === "visible") {
    if (!source) listen(true);
    return;
  }
  listen(false);
  timer = window.setTimeout(ask, HIDDEN_EVERY_MS);
}

function offerNotifications() {
  const button = document.querySelector("[data-notify]");
  if (!("Notification" in window) || Notification.permission !== "default") return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await Notification.requestPermission();
    button.hidden = true;
  });
}

document.addEventListener("visibilitychange", attend);
window.addEventListener("pagehide", () => listen(false));
window.addEventListener("pageshow", (event) => {
  if (event.persisted) attend();
});
offerNotifications();
attend();
