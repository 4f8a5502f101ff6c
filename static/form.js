// Keeps a form's identity when the browser goes back to it, and shows the limits of the chosen
// currency alone (without this script all of them are shown).
"use strict";

// A browser that goes back may ask for the page anew, and be given a new nonce: a second payment.
// The history entry remembers the first one.
const nonce = document.getElementById("nonce");
if (history.state?.nonce) {
  nonce.value = history.state.nonce;
} else {
  history.replaceState({ nonce: nonce.value }, "");
}

const currency = document.getElementById("currency");

function showLimits() {
  for (const limit of document.querySelectorAll(".limit")) {
    limit.hidden = limit.dataset.currency !== currency.value;
  }
}

currency.addEventListener("change", showLimits);
// Going back restores the field without a change event.
window.addEventListener("pageshow", showLimits);
