// Keeps #live as new as the server's: looks every two seconds while the page is seen.
const LOOK_EVERY_MS = 2000;

async function look() {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("#live");
    const shown = document.querySelector("#live");
    if (!fresh || fresh.innerHTML === shown.dataset.last) return;
    shown.dataset.last = fresh.innerHTML;
    const open = [...shown.querySelectorAll("details[open]")].map((item) => item.id);
    const focused = shown.contains(document.activeElement) && document.activeElement.getAttribute("href");
    shown.replaceChildren(...fresh.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) shown.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  } catch {
    // The sandbox is being restarted: the next look will tell.
  }
}

document.querySelector("#live").dataset.last = document.querySelector("#live").innerHTML;
setInterval(look, LOOK_EVERY_MS);
document.addEventListener("visibilitychange", look);
