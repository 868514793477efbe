"""The gateway: every model call and every call of an internal system goes through one governed door."""
