// Upload: a file that is dropped anywhere, cells that are pasted, a reading that is chosen.

const form = document.querySelector("[data-drop]");

function isTooLarge(file) {
  const isText = /\.(csv|tsv)$/i.test(file.name);
  return file.size > Number(isText ? form.dataset.textMost : form.dataset.workbookMost);
}

function refuse() {
  const error = document.querySelector("#file-error");
  error.textContent = error.dataset.tooLarge;
  error.hidden = false;
  form.querySelector("input[type=file]").value = "";
}

function send(files) {
  const input = form.querySelector("input[type=file]");
  input.files = files;
  if (!input.files.length) return;
  if (isTooLarge(input.files[0])) refuse();
  else form.requestSubmit();
}

if (form) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    form.classList.add("drop-over");
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) form.classList.remove("drop-over");
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    form.classList.remove("drop-over");
    send(event.dataTransfer.files);
  });
  // Choosing a file sends nothing yet: a field that leaves the screen surprises (WCAG 2.2, 3.2.2).
  form.querySelector("input[type=file]").addEventListener("change", (event) => {
    if (event.target.files.length && isTooLarge(event.target.files[0])) refuse();
    else document.querySelector("#file-error").hidden = true;
  });

  addEventListener("paste", (event) => {
    if (event.target.closest?.("textarea, input")) return;
    if (event.clipboardData.files.length) {
      event.preventDefault();
      send(event.clipboardData.files);
      return;
    }
    const text = event.clipboardData.getData("text/plain");
    if (!text.trim()) return;
    event.preventDefault();
    const place = document.querySelector("[data-paste]");
    place.open = true;
    const area = place.querySelector("textarea");
    area.value = text;
    place.querySelector("button").focus();
  });
}

for (const resent of document.querySelectorAll("[data-resend]")) {
  const button = resent.querySelector("[data-resend-button]");
  if (button) button.hidden = true;
  // Sent without the button that would also lead on.
  resent.addEventListener("change", () => resent.submit());
}
