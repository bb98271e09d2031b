"""Tenants, people, keys, the audit trail and the change feed."""
