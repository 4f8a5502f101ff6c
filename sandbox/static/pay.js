// Fills a test card in on click, groups digits as they are typed, and keeps a second click from
// sending the form twice.
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
  showBrand();
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

// What does nothing without a script is shown by it.
for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

// Whoever chooses to pay by bank debit wants to see the accounts there are.
for (const radio of form.querySelectorAll("[type=radio][name=method]")) {
  const groups = document.querySelector(radio.value === "card" ? ".group.for-card" : ".group.for-debit");
  radio.addEventListener("change", () => { groups.open = true; });
  if (radio.checked) groups.open = true;
}

// On a phone the panel is the page's end: it opens for whoever follows the link beside the form.
const panel = document.querySelector(".panel-of-cards");
if (matchMedia("(max-width: 899px)").matches) panel.removeAttribute("open");
for (const link of document.querySelectorAll(".to-cards")) {
  link.addEventListener("click", () => { panel.open = true; });
}

function inGroups(text, sizes) {
  const parts = [];
  for (let at = 0, place = 0; at < text.length; at += sizes[place], place += 1) {
    sizes[place + 1] ??= 4;
    parts.push(text.slice(at, at + sizes[place]));
  }
  return parts.join(" ");
}

function cardNumber(typed) {
  const digits = typed.replace(/\D/g, "");
  return inGroups(digits, /^3[47]/.test(digits) ? [4, 6, 5] : [4]);
}

// "1234" and "5/34" are both meant as a month and a year.
function expiry(typed) {
  let [month, year] = typed.split("/").map((part) => part.replace(/\D/g, ""));
  if (year === undefined && month.length > 1) {
    if (month[0] > "1") month = `0${month}`;
    [month, year] = [month.slice(0, 2), month.slice(2)];
  }
  return year ? `${month} / ${year.slice(0, 4)}` : typed;
}

function iban(typed) {
  return inGroups(typed.replace(/[^0-9a-z]/gi, "").toUpperCase(), [4]);
}

// The caret stays behind the same digit.
function groupAsTyped(name, grouped) {
  const field = form.elements[name];
  field?.addEventListener("input", () => {
    const behind = field.value.slice(field.selectionStart).replace(/[\s/]/g, "").length;
    const value = grouped(field.value);
    if (value === field.value) return;
    field.value = value;
    let caret = value.length;
    for (let left = behind; left > 0; left -= 1) {
      do caret -= 1; while (/[\s/]/.test(value[caret] ?? ""));
    }
    field.setSelectionRange(caret, caret);
  });
}

// Whose card it is, by its first digits: a mistyped one is seen before it is sent.
const BRANDS = [
  [/^4/, "Visa"], [/^(5[1-5]|2[2-7])/, "Mastercard"], [/^3[47]/, "Amex"],
  [/^6(011|5)/, "Discover"], [/^3(0|6|8)/, "Diners Club"], [/^35/, "JCB"], [/^62/, "UnionPay"],
];

function showBrand() {
  const shown = form.querySelector(".brand");
  const typed = form.elements.number?.value.replace(/\D/g, "");
  if (shown) shown.textContent = BRANDS.find(([begins]) => begins.test(typed))?.[1] ?? "";
}

groupAsTyped("number", cardNumber);
groupAsTyped("expiration", expiry);
groupAsTyped("iban", iban);

form.elements.number?.addEventListener("input", showBrand);

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
  showBrand();
});

document.querySelector("[aria-invalid]")?.focus();
