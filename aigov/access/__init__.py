"""Who may do what: Casbin's model and policy files, checked at load and asked at each call."""
