"""An FTP server that speaks TLS alone: address, port, folder, file with certificate and key."""

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer

address, port, folder, pem = sys.argv[1:]
authorizer = DummyAuthorizer()
authorizer.add_user("backup", "s3cret % +", folder, perm="elradfmwMT")
TLS_FTPHandler.authorizer = authorizer
TLS_FTPHandler.certfile = pem
TLS_FTPHandler.tls_control_required = True
TLS_FTPHandler.tls_data_required = True
FTPServer((address, int(port)), TLS_FTPHandler).serve_forever()
