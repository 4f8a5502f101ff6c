// What the status page does besides polling: pause while hidden, ask at once when seen again, tell
// screen readers of a change, once per change, keep the title true, and print.
"use strict";

const status = () => document.getElementById("status");
let told = status().dataset.announcement;

// htmx 2 and 4 name the event differently; both let it be canceled.
for (const name of ["htmx:beforeRequest", "htmx:before:request"]) {
  document.addEventListener(name, (event) => {
    if (document.hidden) event.preventDefault();
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) status().dispatchEvent(new Event("seen"));
});

new MutationObserver(() => {
  const now = status()?.dataset.announcement;
  if (now && now !== told) {
    document.getElementById("announcement").textContent = now;
    document.title = document.title.replace(told, () => now);
    told = now;
  }
}).observe(document.getElementById("live"), { childList: true });

document.addEventListener("click", (event) => {
  if (event.target.matches(".print")) window.print();
});
