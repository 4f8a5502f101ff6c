// Shows the limits of the chosen currency alone. Without this script all of them are shown.
"use strict";

const currency = document.getElementById("currency");

function showLimits() {
  for (const limit of document.querySelectorAll(".limit")) {
    limit.hidden = limit.dataset.currency !== currency.value;
  }
}

currency.addEventListener("change", showLimits);
// Going back with the browser restores the field without a change event.
window.addEventListener("pageshow", showLimits);
