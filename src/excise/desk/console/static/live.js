// Puts the progress of a request on the page while it happens. Without this file the page has a
// link that reads it anew.
"use strict";
(() => {
  const place = document.querySelector("[data-live]");
  if (!place || !window.EventSource) return;
  const link = document.querySelector("[data-refresh]");
  const status = document.querySelector("[data-status]");
  const source = new EventSource(place.dataset.live);
  let shown = null;
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
    if (shown !== null) status.textContent = `Live, changed ${new Date().toLocaleTimeString()}`;
    shown = event.data;
  });
  window.addEventListener("pagehide", () => source.close());
})();
