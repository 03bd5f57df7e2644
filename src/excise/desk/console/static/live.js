// Puts the progress of a request on the page while it happens, and renews what follows from it:
// state, facts, timeline, what can be done. Without this file the page has a link that reads it anew.
"use strict";
(() => {
  const place = document.querySelector("[data-live]");
  if (!place || !window.EventSource) return;
  const link = document.querySelector("[data-refresh]");
  const status = document.querySelector("[data-status]");
  const source = new EventSource(place.dataset.live);
  let shown = null;
  const inUse = (part) =>
    part.contains(document.activeElement) || part.querySelector("details[open]") ||
    [...part.querySelectorAll("textarea")].some((field) => field.value);
  const renew = async () => {
    const answer = await fetch(location.pathname);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-follows]")) {
      const now = page.querySelector(`[data-follows="${old.dataset.follows}"]`);
      if (now && !inUse(old)) old.replaceWith(now);
    }
  };
  source.addEventListener("open", () => {
    link.hidden = true;
    status.textContent = "Live";
  });
  source.addEventListener("error", () => {
    link.hidden = false;
    status.textContent = "";
  });
  source.addEventListener("changed", (event) => {
    if (event.data === shown) return;
    place.innerHTML = event.data; // made by the server, escaped there
    if (shown !== null) {
      status.textContent = `Live, changed ${new Date().toLocaleTimeString()}`;
      renew().catch(() => {}); // the next change tries again
    }
    shown = event.data;
  });
  window.addEventListener("pagehide", () => source.close());
})();
