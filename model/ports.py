"""Ports that a rule or a probe names (IANA service names, except where it says otherwise)."""

SSH = 22
SMTP = 25
DNS = 53
HTTPS = 443
SUBMISSION = 587
INSIDE = 10025
"""The relay's own service for mail from the hub, apart from the strangers' on port 25; not
registered with IANA."""
FORWARDING = 10026
"""The hub's own service that what is forwarded outside passes, on loopback; not registered."""
SRS_FORWARD, SRS_REVERSE = 10001, 10002
"""Where postsrsd answers, on loopback: Debian's own choice (/etc/default/postsrsd)."""
