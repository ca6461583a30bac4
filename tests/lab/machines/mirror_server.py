"""A folder over HTTPS: `python mirror_server.py FOLDER CERTIFICATE ADDRESS`."""

from __future__ import annotations

import functools
import ssl
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    # apt sends its requests on one connection; a handshake for each would be slow.
    protocol_version = "HTTP/1.1"
    wbufsize = -1


folder, certificate, address = sys.argv[1:]
server = ThreadingHTTPServer((address, 443), functools.partial(Handler, directory=folder))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
