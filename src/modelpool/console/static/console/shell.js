/* What the frame of every page does. Alpine's build for strict content policies finds code by name, and no globals. */
document.addEventListener("alpine:init", () => {
  const OPEN = "sidebarDesktopOpen";
  Alpine.data("shell", () => ({
    activeTab: "",
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(OPEN) !== "0",
    window: { location: { pathname: location.pathname, search: location.search } },
    localStorage: { setItem: (name, value) => localStorage.setItem(name, value) },
    init() {
      const first = this.$el.dataset.firstTab;
      this.activeTab = first ? getCurrentTab() || first : "";
      this.$watch(OPEN, (isOpen) => localStorage.setItem(OPEN, isOpen ? "1" : "0"));
    },
  }));
  for (const component of [theme, searchForm, searchCommand]) {
    Alpine.data(component.name, component);
  }
});
