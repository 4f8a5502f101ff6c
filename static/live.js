// What the status page does besides polling: pause while hidden, ask at once when seen again (once,
// where it is polled no more), tell screen readers of a change, once per change, keep the title
// true, copy and print.
"use strict";

const status = () => document.getElementById("status");
let told = status().dataset.announcement;

function announce(words) {
  const region = document.getElementById("announcement");
  // The same words twice are a change only in between.
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = words));
}

// htmx 2 and 4 name the event differently; both let it be canceled.
for (const name of ["htmx:beforeRequest", "htmx:before:request"]) {
  document.addEventListener(name, (event) => {
    if (document.hidden) event.preventDefault();
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  const { lookAgain } = status().dataset;
  if (lookAgain) {
    htmx.ajax("GET", lookAgain, { target: "#status", swap: "outerHTML" });
  } else {
    status().dispatchEvent(new Event("seen"));
  }
});

new MutationObserver(() => {
  const now = status()?.dataset.announcement;
  if (now && now !== told) {
    announce(now);
    document.title = document.title.replace(told, () => now);
    told = now;
  }
}).observe(document.getElementById("live"), { childList: true });

// Only a page that came over HTTPS, or from this machine, may copy.
document.documentElement.classList.toggle("can-copy", Boolean(navigator.clipboard));

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  announce(button.dataset.copied);
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches(".print")) window.print();
  if (button?.matches(".copy")) copy(button);
});
