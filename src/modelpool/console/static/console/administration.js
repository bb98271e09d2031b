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
