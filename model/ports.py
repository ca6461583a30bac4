"""Ports that a rule or a probe names (IANA service names)."""

SSH = 22
SMTP = 25
HTTP = 80
HTTPS = 443
