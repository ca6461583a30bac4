"""Keep a host's Postfix tables equal to the company's directory.

Runs on the mail hosts as a systemd service. The directory is a bucket whose objects have one owner
each: the environment, or one branch. Every few seconds this program asks what changed, checks each
changed object as a whole, derives the tables of the host's role, builds and tries them beside the
live ones, and renames them into place. An object that is wrong is refused by name in the journal
and in an alarm, and the last good one stays in force, on disk too: a host that boots without the
directory works.
"""
