"""Addresses, one file per noun: who may, read, call a service, present."""

from modelpool.api.v1 import converters

converters.register()
