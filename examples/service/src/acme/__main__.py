import argparse
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import humanize

from acme.version import VERSION

STARTED = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"up for {humanize.precisedelta(time.monotonic() - STARTED)}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


parser = argparse.ArgumentParser(prog="acme")
parser.add_argument("--version", action="version", version=f"acme {VERSION}")
parser.add_argument("command", choices=["serve"])
parser.parse_args()
HTTPServer(("", 8080), Handler).serve_forever()
