"""What a tenant's administrators do: members, keys, the audit trail and settings."""
