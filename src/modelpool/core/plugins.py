"""One shape for every kind of plug-in: a registry of names that refuses duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from modelpool.core.errors import ConfigurationError

P = TypeVar("P")


class PluginRegistry(Generic[P]):
    """Named plug-ins of one seam: the built-in ones, and those that installed packages declare as entry points.

    ``group`` is the entry-point group, such as ``modelpool.trainers``. A name that two packages claim is an error
    when it is looked up, not a race for the last import.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._plugins: dict[str, P] = {}
        self._discovered = False

    def register(self, name: str, plugin: P) -> P:
        """Add ``plugin`` under ``name``; raise :class:`ConfigurationError` when the name is taken by another one."""
        if self._plugins.get(name, plugin) is not plugin:
            raise ConfigurationError(f"Two plug-ins of {self.group} are named {name!r}; rename or remove one.")
        self._plugins[name] = plugin
        return plugin

    def get(self, name: str) -> P:
        """Return the plug-in, or raise :class:`KeyError`."""
        self._discover()
        return self._plugins[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._discover()
        return sorted(self._plugins)

    def __iter__(self) -> Iterator[tuple[str, P]]:
        self._discover()
        return iter(sorted(self._plugins.items()))

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._plugins

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for entry in entry_points(group=self.group):
            plugin = entry.load()
            self.register(entry.name, plugin() if isinstance(plugin, type) else plugin)
