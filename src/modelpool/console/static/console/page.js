/* What pages have in common: times in the reader's zone, dialogs, copying. Each acts by an attribute, so that a part
   of a page that htmx brings later works as well. */
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exactMoments = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function showTimes(root) {
  for (const time of root.querySelectorAll("time[data-when]")) {
    const moment = new Date(time.dateTime);
    time.textContent = moments.format(moment);
    time.title = exactMoments.format(moment);
    time.removeAttribute("data-when");
  }
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  const text = "value" in source ? source.value : source.textContent;
  try {
    await navigator.clipboard.writeText(text.trim());
  } catch {
    /* Only pages that came over TLS, or from this machine, may write to the clipboard. */
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  const label = button.querySelector("[data-label]") ?? button;
  const before = label.textContent;
  label.textContent = button.dataset.copied ?? "Copied";
  setTimeout(() => { label.textContent = before; }, 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-opens], [data-closes], [data-copies]");
  if (!button) return;
  if (button.dataset.opens) document.getElementById(button.dataset.opens).showModal();
  if ("closes" in button.dataset) button.closest("dialog").close();
  if (button.dataset.copies) copy(button);
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.dataset?.mustBe) return;
  field.setCustomValidity(field.value === field.dataset.mustBe ? "" : field.dataset.mustBe);
});

/* A form that is sent twice by a double click acts once. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => { delete form.dataset.sent; }, 5000);
});

/* A part of the page that may not be seen any more, or is not there any more, tells of the whole page. */
const GONE = [401, 403, 404];
document.addEventListener("htmx:responseError", (event) => {
  if (GONE.includes(event.detail.xhr.status)) location.reload();
});

document.addEventListener("htmx:load", (event) => showTimes(event.detail.elt));
showTimes(document);
