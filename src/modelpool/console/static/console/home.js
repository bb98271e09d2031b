/* Parts that renew themselves wait while somebody reads a table in them, or would lose the focus. */
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (!(part instanceof HTMLElement) || !part.hasAttribute("data-keeps-still")) return;
  if (part.querySelector("details[open]") || part.contains(document.activeElement)) event.preventDefault();
});
