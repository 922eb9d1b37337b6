# SPDX-License-Identifier: LGPL-2.1-or-later
"""TLS by libssl itself, for what Python's ssl module has no words for: new keys
in the middle of a connection. Certificates are not verified."""

import ctypes
import ssl

KEY_UPDATE_NOT_REQUESTED, KEY_UPDATE_REQUESTED = 0, 1


def _library():
    library = ctypes.CDLL("libssl.so.3")
    for name in "TLS_client_method", "SSL_CTX_new", "SSL_new":
        getattr(library, name).restype = ctypes.c_void_p
    for name, kinds in (
            ("SSL_CTX_new", (ctypes.c_void_p,)),
            ("SSL_CTX_free", (ctypes.c_void_p,)),
            ("SSL_new", (ctypes.c_void_p,)),
            ("SSL_free", (ctypes.c_void_p,)),
            ("SSL_set_fd", (ctypes.c_void_p, ctypes.c_int)),
            ("SSL_connect", (ctypes.c_void_p,)),
            ("SSL_key_update", (ctypes.c_void_p, ctypes.c_int)),
            ("SSL_read", (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)),
            ("SSL_write", (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int))):
        getattr(library, name).argtypes = kinds
    return library


class Socket:
    """What nbdwire.Client wants of a socket, over one that is connected."""

    def __init__(self, plain):
        plain.settimeout(None)  # libssl is to block
        self.plain = plain
        self.library = _library()
        self.context = self.library.SSL_CTX_new(self.library.TLS_client_method())
        self.ssl = self.library.SSL_new(self.context)
        self.library.SSL_set_fd(self.ssl, plain.fileno())
        self._check(self.library.SSL_connect(self.ssl))

    @staticmethod
    def _check(result):
        if result <= 0:
            raise ssl.SSLError(f"libssl: {result}")
        return result

    def new_keys(self, both=True):
        """For what is sent from now on; `both`: and asks the peer for the same."""
        self._check(self.library.SSL_key_update(
            self.ssl, KEY_UPDATE_REQUESTED if both else KEY_UPDATE_NOT_REQUESTED))

    def sendall(self, data):
        data = bytes(data)
        self._check(self.library.SSL_write(self.ssl, data, len(data)))

    def recv_into(self, room):
        place = (ctypes.c_char * len(room)).from_buffer(room)
        return self._check(self.library.SSL_read(self.ssl, place, len(room)))

    def close(self):
        self.library.SSL_free(self.ssl)
        self.library.SSL_CTX_free(self.context)
        self.plain.close()


class Context:
    """In the place of an ssl.SSLContext."""

    @staticmethod
    def wrap_socket(plain, server_hostname):
        del server_hostname
        return Socket(plain)
