"""Long answers of the engine, read at half the cost."""

from __future__ import annotations

from typing import Any

import requests
from docker import APIClient
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnectionPool

__all__ = ["streaming"]


def streaming(api: APIClient) -> requests.Session:
    """A session to read long answers of this engine by: docker-py's own, but over a Unix socket in HTTP/1.0.

    HTTP/1.1 marks each 32 KiB that the engine writes; to take these marks out again is half of the reader's work, and
    in HTTP/1.0 there are none. An answer that is cut off looks like one that has ended: what is in it has to tell.
    """
    usual = api.get_adapter(api.base_url)
    if not isinstance(usual, UnixHTTPAdapter):
        return api
    session = requests.Session()
    session.mount(api.base_url, _Adapter(f"http+unix://{usual.socket_path}"))
    return session


class _Adapter(UnixHTTPAdapter):
    def get_connection(self, url: Any, proxies: object = None) -> UnixHTTPConnectionPool:
        return _Pool(url, self.socket_path, self.timeout)


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # noqa: SLF001  # there is no other way to say it
        return connection
