/* Moments are typed in the reader's zone and asked for in UTC: the field that is seen fills the hidden one. */
const twoDigits = (number) => String(number).padStart(2, "0");

function toLocal(moment) {
  const date = [moment.getFullYear(), twoDigits(moment.getMonth() + 1), twoDigits(moment.getDate())].join("-");
  return `${date}T${twoDigits(moment.getHours())}:${twoDigits(moment.getMinutes())}`;
}

for (const field of document.querySelectorAll("input[data-moment]")) {
  const exact = document.getElementById(field.dataset.moment);
  const asked = new Date(exact.value);
  if (exact.value && !Number.isNaN(asked.getTime())) field.value = toLocal(asked);
  field.addEventListener("input", () => {
    exact.value = field.value ? new Date(field.value).toISOString() : "";
  });
}

/* A part that renews itself waits while somebody answers a question in it, and stays where it was scrolled to. */
let scrolled = [];

document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (part.querySelector("dialog[open]")) event.detail.shouldSwap = false;
  scrolled = [...part.querySelectorAll(".mp-scroll")].map((area) => area.scrollLeft);
});

document.addEventListener("htmx:afterSettle", () => {
  const areas = document.querySelectorAll("[hx-get] .mp-scroll");
  areas.forEach((area, at) => { area.scrollLeft = scrolled[at] ?? 0; });
});
