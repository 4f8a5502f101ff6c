// Makes the letter's frame as high as the letter. Nothing in it can run: its own page forbids scripts.
const frame = document.querySelector("iframe.letter");

function fit() {
  const letter = frame.contentDocument?.documentElement;
  if (!letter) return;
  frame.style.height = "0";
  frame.style.height = `${letter.scrollHeight + 2}px`;
}

if (frame) {
  frame.addEventListener("load", fit);
  window.addEventListener("resize", fit);
  fit();
}
