// Keeps the page fresh: replaces the one element that changes, and only when it did.
"use strict";

const PERIOD_MS = 1500;

function enliven(main) {
  for (const time of main.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString("pl-PL");
  }
  const clear = main.querySelector("#clear");
  clear.hidden = false;
  clear.addEventListener("click", async () => {
    await fetch("/messages", { method: "DELETE" });
    await refresh();
  });
}

async function refresh() {
  const main = document.getElementById("sink");
  const answer = await fetch(`/fragment?since=${main.dataset.version}`);
  if (answer.status !== 200) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sink");
  for (const open of main.querySelectorAll("details[open]")) {
    fresh.querySelector(`#${open.id}`)?.setAttribute("open", "");
  }
  const scrolled = main.querySelector(".scroll")?.scrollLeft ?? 0;
  enliven(fresh);
  main.replaceWith(fresh);
  const table = fresh.querySelector(".scroll");
  if (table) table.scrollLeft = scrolled;
}

enliven(document.getElementById("sink"));
setInterval(() => {
  if (!document.hidden) refresh().catch(() => {});
}, PERIOD_MS);
