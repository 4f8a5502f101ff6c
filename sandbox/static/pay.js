// Fills a test card in on click, and keeps a second click from sending the form twice.
// The page works without any of this.
const form = document.querySelector("[data-pay]");
const submit = form.querySelector("button[type=submit]");
const label = submit.textContent;

function choose(method) {
  const radio = form.querySelector(`input[name=method][value=${method}]`);
  if (radio?.type === "radio") radio.checked = true;
}

function fill(values) {
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.elements.email.value ||= "customer@example.com";
  submit.focus({ preventScroll: true });
  submit.scrollIntoView({ block: "nearest" });
}

for (const button of document.querySelectorAll("[data-number]")) {
  button.addEventListener("click", () => {
    const { number, expiration, cvc } = button.dataset;
    choose("card");
    fill({ number, expiration, cvc, name: form.elements.name.value || "Test Customer" });
  });
}

for (const button of document.querySelectorAll("[data-iban]")) {
  button.addEventListener("click", () => {
    choose("sepa_debit");
    const name = form.elements.account_name.value || "Test Customer";
    fill({ iban: button.dataset.iban, account_name: name });
  });
}

// Whoever chooses to pay by bank debit wants to see the accounts there are.
form.querySelector("[value=sepa_debit]")?.addEventListener("change", () => {
  document.querySelector("[data-iban]").closest("details").open = true;
});

// On a phone the panel would stand between the customer and the end of the page.
if (matchMedia("(max-width: 899px)").matches) {
  document.querySelector(".panel-of-cards").removeAttribute("open");
}

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

document.querySelector("[aria-invalid]")?.focus();
