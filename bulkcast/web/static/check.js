// Check: the grid by keyboard, a cell edited where it stands, the next problem by one key.

const grid = document.querySelector("[data-grid]");
const panel = document.querySelector("[data-panel]");
const FIELDS = "input:not([type=checkbox], [type=radio]), textarea, select";
const isTyping = (target) => target.closest?.(FIELDS);

function follow(selector) {
  document.querySelector(selector)?.click();
}

function cellAt(row, column) {
  return grid.tBodies[0].rows[row]?.cells[column];
}

function focus(cell) {
  if (!cell || cell.tagName !== "TD") return;
  for (const old of grid.querySelectorAll("td[tabindex='0']")) old.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus({ preventScroll: true });
  cell.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function moved(cell, event) {
  const row = cell.parentElement.sectionRowIndex;
  const column = cell.cellIndex;
  const last = cell.parentElement.cells.length - 1;
  const rows = grid.tBodies[0].rows.length - 1;
  switch (event.key) {
    case "ArrowRight": return cellAt(row, column + 1);
    case "ArrowLeft": return cellAt(row, column - 1);
    case "ArrowDown": return cellAt(row + 1, column);
    case "ArrowUp": return cellAt(row - 1, column);
    case "Home": return event.ctrlKey ? cellAt(0, 1) : cellAt(row, 1);
    case "End": return event.ctrlKey ? cellAt(rows, last) : cellAt(row, last);
    case "PageDown": return cellAt(Math.min(row + 15, rows), column);
    case "PageUp": return cellAt(Math.max(row - 15, 0), column);
    default: return undefined;
  }
}

function addressOf(cell) {
  const link = cell.querySelector("a");
  if (link) return link.href;
  const query = new URLSearchParams(location.search);
  query.delete("page");
  query.set("cell", cell.dataset.cell);
  return `${location.pathname}?${query}${isBeside ? "" : "#cell"}`;
}

// A cell is edited in place by the panel's own form, which also knows its choices and its scope.
function edit(cell) {
  const form = panel.querySelector("[data-fix]");
  if (cell.hasAttribute("data-current") && form) {
    const field = form.querySelector("[name=text]");
    if (field.tagName === "SELECT" || field.tagName === "TEXTAREA") field.focus();
    else editInPlace(cell, form, field);
    return;
  }
  sessionStorage.setItem("edit", cell.dataset.cell);
  location.assign(addressOf(cell));
}

function editInPlace(cell, form, field) {
  const held = [...cell.childNodes];
  const input = document.createElement("input");
  input.value = field.value;
  input.setAttribute("aria-label", document.querySelector("#cell-title").textContent);
  cell.replaceChildren(input);
  input.focus();
  input.select();
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      cell.replaceChildren(...held);
      focus(cell);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      field.value = input.value;
      const one = form.querySelector("[name=scope][value=one]");
      if (one) one.checked = true;
      form.requestSubmit(form.querySelector("[value=replace]"));
    }
  });
}

// Beside the grid the panel is always in sight; below it, on a narrow screen, links lead to it.
const isBeside = matchMedia("(min-width: 64rem)").matches;

if (grid) {
  document.querySelector("[data-keys]").hidden = false;
  const keysOn = document.querySelector("[data-keys-on]");
  keysOn.checked = localStorage.getItem("keys") !== "off";
  keysOn.addEventListener("change", () => {
    localStorage.setItem("keys", keysOn.checked ? "on" : "off");
  });
  if (isBeside) {
    for (const link of document.querySelectorAll("a[href$='#cell']")) {
      link.href = link.href.replace("#cell", "");
    }
  }
  const current = grid.querySelector("[data-current]");
  const scroller = document.querySelector("[data-grid-scroll]");
  if (current) {
    const box = current.getBoundingClientRect();
    const frame = scroller.getBoundingClientRect();
    scroller.scrollTop += box.top - frame.top - frame.height / 2;
    if (box.right > frame.right || box.left < frame.left + 60) {
      scroller.scrollLeft += box.left - frame.left - frame.width / 2;
    }
    const isAsked = new URLSearchParams(location.search).has("cell");
    const edits = sessionStorage.getItem("edit") === current.dataset.cell;
    const settle = () => {
      if (isAsked && isBeside) {
        scrollTo({ top: Number(sessionStorage.getItem("check-top") ?? 0) });
        current.focus({ preventScroll: true });
      }
      if (edits) edit(current);
    };
    // After the browser has gone to the fragment of a form's answer.
    if (document.readyState === "complete") settle();
    else addEventListener("load", () => requestAnimationFrame(settle));
  } else {
    const first = grid.querySelector("td[data-cell]");
    if (first) first.tabIndex = 0;
  }
  sessionStorage.removeItem("edit");
  addEventListener("pagehide", () => sessionStorage.setItem("check-top", String(scrollY)));

  grid.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (!cell || isTyping(event.target) || event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === "F2") {
      event.preventDefault();
      edit(cell);
      return;
    }
    const next = moved(cell, event);
    if (next) {
      event.preventDefault();
      focus(next);
    }
  });
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (cell && !event.target.closest("a, input") && !cell.hasAttribute("data-current")) {
      location.assign(addressOf(cell));
    }
  });
  grid.addEventListener("dblclick", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (cell && !event.target.closest("input")) edit(cell);
  });
  addEventListener("keydown", (event) => {
    if (!keysOn.checked || isTyping(event.target)) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "n") follow("[data-following]");
    else if (event.key === "p") follow("[data-previous]");
  });
}
