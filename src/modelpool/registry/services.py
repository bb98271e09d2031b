"""Every change to models, versions and aliases, and the looking up of one: the app's public face.

Each change is one transaction with its audit row and its entry in the change feed, under the lock of the model's row.
Lists are in :mod:`modelpool.registry.querysets`, uploads in :mod:`modelpool.registry.uploads`.
"""

from modelpool.registry.activation import (
    UNSET,
    activate_best,
    activate_version,
    best_version,
    previous_version,
    roll_back,
)
from modelpool.registry.aliases import delete_alias, set_alias
from modelpool.registry.copying import copy_version
from modelpool.registry.pools import create_model, delete_model, get_model, get_or_create_model, store_of, update_model
from modelpool.registry.traffic import canary_of, check_traffic, end_traffic, set_traffic, traffic_of
from modelpool.registry.versions import (
    ACTIVATE_CHOICES,
    Activate,
    NewVersion,
    check_activate,
    delete_version,
    get_version,
    register_version,
    resolve,
    update_version,
)

__all__ = [
    "ACTIVATE_CHOICES",
    "UNSET",
    "Activate",
    "NewVersion",
    "activate_best",
    "activate_version",
    "best_version",
    "canary_of",
    "check_activate",
    "check_traffic",
    "copy_version",
    "create_model",
    "delete_alias",
    "delete_model",
    "delete_version",
    "end_traffic",
    "get_model",
    "get_or_create_model",
    "get_version",
    "previous_version",
    "register_version",
    "resolve",
    "roll_back",
    "set_alias",
    "set_traffic",
    "store_of",
    "traffic_of",
    "update_model",
    "update_version",
]
