// Tells the user through the browser that a run has ended.  The browser is asked for permission by
// a button only, never when a page opens.
//
//   import { show } from "/static/notification.js";
//   show("Run 20270301-1 has ended", "477 rows applied", "/runs/20270301-1/results");

/** Show a notification, if the user allowed them and looks at something else. */
export function show(title, body, path) {
  if (!("Notification" in window) || Notification.permission !== "granted") return false;
  if (document.visibilityState === "visible" && document.hasFocus()) return false;
  const shown = new Notification(title, { body, tag: path, icon: "/static/icon.svg" });
  shown.addEventListener("click", () => {
    window.focus();
    if (path) window.location.assign(path);
    shown.close();
  });
  return true;
}

/** Let the buttons of `[data-notifications]` ask for permission; they are hidden until then. */
function attach(place) {
  const state = place.querySelector("[data-notifications-state]");
  const button = place.querySelector("[data-notifications-ask]");
  const tell = () => {
    const said = place.dataset[Notification.permission];
    if (said && state) state.textContent = said;
    if (button) button.hidden = Notification.permission !== "default";
    place.hidden = false;
  };
  if (button) {
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      tell();
    });
  }
  tell();
}

if ("Notification" in window) {
  for (const place of document.querySelectorAll("[data-notifications]")) attach(place);
}
