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
  for (const known of main.querySelectorAll("details")) {
    fresh.querySelector(`#${known.id}`)?.toggleAttribute("open", known.open);
  }
  const scrolled = main.querySelector(".scroll")?.scrollLeft ?? 0;
  enliven(fresh);
  merge(main, fresh);
  const table = main.querySelector(".scroll");
  if (table) table.scrollLeft = scrolled;
}

// Leaves parts alone that are the same, because a frame that is put in anew loads anew.
function merge(main, fresh) {
  main.dataset.version = fresh.dataset.version;
  const parts = [...fresh.children];
  for (const old of [...main.children]) {
    if (!parts.some((part) => part.className === old.className)) old.remove();
  }
  parts.forEach((part, index) => {
    const old = [...main.children].find((child) => child.className === part.className);
    if (!old) main.insertBefore(part, main.children[index] ?? null);
    else if (!old.isEqualNode(part)) old.replaceWith(part);
  });
}

enliven(document.getElementById("sink"));
setInterval(() => {
  if (!document.hidden) refresh().catch(() => {});
}, PERIOD_MS);
