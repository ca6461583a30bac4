"""The network that enforces what AWS state says: namespaces, links, routes and packet filters."""
