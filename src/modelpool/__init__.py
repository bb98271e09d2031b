"""Modelpool trains, keeps and serves pools of machine-learning models for many tenants."""

__version__ = "0.1.0"
