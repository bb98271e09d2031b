/* A log that follows its end, unless somebody scrolled up to read; it survives being brought anew by htmx. */
const AT_END_PX = 24;
let kept = null;

function log() {
  return document.querySelector("[data-follows]");
}

document.addEventListener("htmx:beforeSwap", () => {
  const shown = log();
  if (!shown) return;
  const isAtEnd = shown.scrollHeight - shown.scrollTop - shown.clientHeight < AT_END_PX;
  kept = { top: isAtEnd ? null : shown.scrollTop, hasFocus: document.activeElement === shown };
});

document.addEventListener("htmx:afterSwap", () => {
  const shown = log();
  if (!shown || !kept) return;
  shown.scrollTop = kept.top ?? shown.scrollHeight;
  if (kept.hasFocus) shown.focus({ preventScroll: true });
});

const first = log();
if (first) first.scrollTop = first.scrollHeight;
