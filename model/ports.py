"""Ports that a rule or a probe names (IANA service names, except where it says otherwise)."""

SSH = 22
SMTP = 25
DNS = 53
HTTP = 80
HTTPS = 443
SUBMISSION = 587
INSIDE = 10025
"""The relay's own service for mail from the hub, apart from the strangers' on port 25; not
registered with IANA."""
