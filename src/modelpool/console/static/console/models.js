/* The pages of models: choosing versions, sliders, rows of tags. Without it the forms work all the same. */

function showChosen(form) {
  const boxes = [...document.querySelectorAll(`input[form="${form.id}"]`)];
  const count = boxes.filter((box) => box.checked).length;
  const from = Number(form.dataset.chooseFrom), to = Number(form.dataset.chooseTo);
  for (const button of form.querySelectorAll("button")) {
    button.disabled = "anyNumber" in button.dataset ? count === 0 : count < from || count > to;
  }
}

for (const form of document.querySelectorAll("form[data-choose-from]")) {
  addEventListener("change", (event) => { if (event.target.form === form) showChosen(form); });
  addEventListener("pageshow", () => showChosen(form));
  showChosen(form);
}

/* A slider and its exact field say the same. In a split the others give what one takes. */
function say(field, value) {
  field.value = String(Math.round(value * 1000) / 1000);
  document.querySelector(`[data-mirrors="${field.id}"]`).value = field.value;
}

function partsOf(form) {
  return [...form.querySelectorAll(".mp-split-row")]
    .filter((row) => row.querySelector("select").value)
    .map((row) => row.querySelector("input[name=percent]"));
}

function balance(form, moved) {
  const others = partsOf(form).filter((field) => field !== moved);
  if (others.length) {
    const left = Math.max(0, 100 - Number(moved.value)), taken = others.reduce((sum, one) => sum + Number(one.value), 0);
    for (const field of others) say(field, taken ? (Number(field.value) / taken) * left : left / others.length);
    const rest = 100 - [moved, ...others].reduce((sum, one) => sum + Number(one.value), 0);
    say(others[0], Math.max(0, Number(others[0].value) + rest));
  }
  showSum(form);
}

function showSum(form) {
  const parts = partsOf(form), sum = Math.round(parts.reduce((total, one) => total + Number(one.value), 0) * 1000) / 1000;
  form.querySelector("[data-sum]").textContent = parts.length ? `${sum} %` : "";
}

document.addEventListener("input", (event) => {
  const field = event.target, form = field.closest("form[data-splits]");
  const exact = field.dataset.mirrors ? document.getElementById(field.dataset.mirrors) : field;
  if (field.dataset.mirrors) exact.value = field.value;
  else if (field.name === "percent") document.querySelector(`[data-mirrors="${field.id}"]`).value = field.value;
  else return;
  if (!form) return;
  if (field.dataset.mirrors && partsOf(form).includes(exact)) balance(form, exact);
  else showSum(form);
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-splits]");
  if (form && event.target.name === "version") showSum(form);
});
document.querySelectorAll("form[data-splits]").forEach(showSum);

for (const button of document.querySelectorAll("[data-adds-row]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const row = button.previousElementSibling, next = row.cloneNode(true);
    next.querySelectorAll("input, textarea").forEach((field) => { field.value = ""; });
    row.after(next);
    next.querySelector("input").focus();
  });
}
