// Fills a test card in on click, and keeps a second click from sending the form twice.
// The page works without any of this.
const form = document.querySelector("[data-pay]");

for (const button of document.querySelectorAll("[data-number]")) {
  button.addEventListener("click", () => {
    form.elements.number.value = button.dataset.number;
    form.elements.expiration.value = button.dataset.expiration;
    form.elements.cvc.value = button.dataset.cvc;
    form.elements.name.value ||= "Test Customer";
    form.elements.email.value ||= "customer@example.com";
    form.querySelector("button[type=submit]").focus();
  });
}

const submit = form.querySelector("button[type=submit]");
const label = submit.textContent;

form.addEventListener("submit", (event) => {
  if (submit.getAttribute("aria-disabled") === "true") {
    event.preventDefault();
    return;
  }
  submit.setAttribute("aria-disabled", "true");
  submit.textContent = "Processing…";
});

// Coming back with the browser's Back shows the page as it was left.
window.addEventListener("pageshow", () => {
  submit.removeAttribute("aria-disabled");
  submit.textContent = label;
});

const error = document.querySelector("[aria-invalid]");
if (error) error.focus();
