/* Tabs of a version's page. Without this script every panel is shown, one below the other. */
const remembered = new Map();

function choose(tab, { focus = false } = {}) {
  const list = tab.closest("[data-tabs]");
  for (const other of list.querySelectorAll('[role="tab"]')) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", String(isChosen));
    other.tabIndex = isChosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
  if (list.dataset.remembers) remembered.set(list.dataset.remembers, tab.id);
  if (focus) tab.focus();
}

function show(root) {
  for (const list of root.querySelectorAll("[data-tabs]")) {
    list.hidden = false;
    const kept = document.getElementById(remembered.get(list.dataset.remembers));
    choose(kept ?? list.querySelector('[aria-selected="true"]'));
  }
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest('[data-tabs] [role="tab"]');
  if (tab) choose(tab);
});

const STEPS = { ArrowRight: 1, ArrowLeft: -1 };
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('[data-tabs] [role="tab"]');
  if (!tab) return;
  const tabs = [...tab.closest("[data-tabs]").querySelectorAll('[role="tab"]')];
  const at = { Home: 0, End: tabs.length - 1 }[event.key]
    ?? (STEPS[event.key] ? (tabs.indexOf(tab) + STEPS[event.key] + tabs.length) % tabs.length : null);
  if (at === null) return;
  event.preventDefault();
  choose(tabs[at], { focus: true });
});

document.addEventListener("htmx:load", (event) => show(event.detail.elt.parentElement ?? document));
show(document);
