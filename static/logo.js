// A logo that does not come leaves the business's name, as if there were none.
"use strict";

for (const logo of document.querySelectorAll(".logo")) {
  logo.decode().catch(() => logo.replaceWith(logo.alt));
}
