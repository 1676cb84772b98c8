"""A server whose port is not published, or not here, is reached through the engine's API, and nothing is left of it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import docker
import engines
import psycopg
import pytest
from docker.models.containers import Container
from engines import needs_root, python, wait_until
from servers import DATA, ENV, IMAGE, LOGIN, PASSWORD, provide_data

from dockerlab import Lab, Postgres, Volume
from dockerlab.engine.find import Engine
from dockerlab.errors import PostgresError
from dockerlab.relay import Relay, Route

MEGABYTE = 2**20


EARLIER = set[threading.Thread]()
relay_threads = partial(engines.relay_threads, EARLIER)


@pytest.fixture(autouse=True)
def threads_of_earlier_tests() -> None:
    EARLIER.clear()
    EARLIER.update(threading.enumerate())


def carriers(box: Container) -> list[str]:
    """The `nc` processes in a container."""
    box.reload()
    programs = [process[-1] for process in box.top(ps_args="-eo pid,args")["Processes"]]
    return [program for program in programs if program.startswith("nc ") and "-ll" not in program.split()]


@pytest.fixture
def echo(lab: Lab) -> Container:
    """A container that sends back what it gets at port 7, from any number of connections."""
    box: Container = lab.run("alpine", ["nc", "-ll", "-p", "7", "-e", "cat"], name="echo")
    wait_until(lambda: lab.exec(box, ["nc", "-w", "1", "127.0.0.1", "7"]).exit_code == 0)
    return box


@pytest.fixture
def relay(lab: Lab, echo: Container) -> Iterator[Relay]:
    relay = Relay(lab.engine.client, str(echo.id), 7)
    yield relay
    relay.close()


@pytest.fixture
def unpublished(lab: Lab) -> Iterator[Postgres]:
    """A server as the lesson's docker line starts it: no port is published."""
    provide_data(lab)
    box = lab.run(IMAGE, name="test-db", mounts=[Volume("pgdata", DATA)])
    assert not box.ports.get("5432/tcp")
    db = Postgres(lab, "test-db", volume="pgdata", **LOGIN)
    yield db
    db.close()


def talk(relay: Relay, data: bytes) -> bytes:
    """Send, say that this was all, and read to the end."""
    with socket.create_connection(("127.0.0.1", relay.port)) as connection:

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send)
            answer = b"".join(iter(lambda: connection.recv(MEGABYTE), b""))
            sent.result()
    return answer


def test_every_byte_goes_there_and_comes_back(relay: Relay) -> None:
    data = os.urandom(20 * MEGABYTE)
    assert talk(relay, data) == data
    assert talk(relay, b"") == b""


def test_connections_do_not_mix(relay: Relay) -> None:
    messages = [os.urandom(MEGABYTE // 4) for _ in range(8)]
    with ThreadPoolExecutor(len(messages)) as pool:
        assert list(pool.map(lambda message: talk(relay, message), messages)) == messages


def test_a_connection_may_be_silent_for_longer_than_a_call_of_the_engine_may_take(lab: Lab, echo: Container) -> None:
    client = docker.DockerClient(lab.engine.url, version=lab.engine.api_version, timeout=4)
    relay = Relay(client, str(echo.id), 7)
    try:
        with socket.create_connection(("127.0.0.1", relay.port)) as connection:
            connection.sendall(b"before")
            assert connection.recv(100) == b"before"
            time.sleep(5)
            connection.sendall(b"after")
            assert connection.recv(100) == b"after"
    finally:
        relay.close()
        client.close()


def test_closing_it_in_the_middle_leaves_no_thread_no_process_and_no_port(relay: Relay, echo: Container) -> None:
    idle = socket.create_connection(("127.0.0.1", relay.port))
    stuck = socket.create_connection(("127.0.0.1", relay.port))
    with idle, stuck:
        idle.sendall(b"x")
        assert idle.recv(1) == b"x"
        stuck.settimeout(1)
        with pytest.raises(TimeoutError):
            stuck.sendall(bytes(100 * MEGABYTE))  # nobody reads the answer, so it backs up all the way
        wait_until(lambda: len(carriers(echo)) == 2)

        relay.close()

        assert relay_threads() == []
        assert idle.recv(1) == b""
        wait_until(lambda: carriers(echo) == [])
        wait_until(lambda: echo.client.api.inspect_container(echo.id)["ExecIDs"] is None)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port))
    relay.close()  # again does nothing


def test_a_client_that_vanishes_takes_its_process_with_it(relay: Relay, echo: Container) -> None:
    connection = socket.create_connection(("127.0.0.1", relay.port))
    connection.sendall(b"x")
    assert connection.recv(1) == b"x" and len(carriers(echo)) == 1
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset rather than goodbye
    connection.close()
    wait_until(lambda: carriers(echo) == [])
    wait_until(lambda: len(relay_threads()) == 1)  # the one that listens


def test_what_nc_complains_of_is_kept(lab: Lab, echo: Container) -> None:
    relay = Relay(lab.engine.client, str(echo.id), 9)
    try:
        assert talk(relay, b"") == b""
        wait_until(lambda: "refused" in relay.said)
    finally:
        relay.close()


def test_an_image_without_nc_is_said_to_be_the_reason(lab: Lab) -> None:
    box = lab.run(IMAGE, name="test-db", env=ENV)
    lab.exec(box, "rm -f /bin/nc /usr/bin/nc")
    with pytest.raises(PostgresError, match="nc in the container ended with exit status 12"):
        Postgres(lab, "test-db", timeout=6, **LOGIN)


def test_a_container_that_goes_ends_the_connection(lab: Lab, relay: Relay, echo: Container) -> None:
    with socket.create_connection(("127.0.0.1", relay.port)) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        lab.remove(echo, force=True)
        assert connection.recv(1) == b""
    assert talk(relay, b"") == b""  # and a new one is ended at once


def test_a_server_without_a_published_port_answers_in_full(unpublished: Postgres) -> None:
    assert unpublished.url.host == "127.0.0.1" and relay_threads()
    rows = unpublished.sql("SELECT n, repeat(chr(97 + n % 26), 1000) AS text FROM generate_series(0, 49999) n")
    assert rows["text"].str.len().sum() == 50_000_000
    assert rows["n"].tolist() == list(range(50_000)) and rows["text"][27] == "b" * 1000


def test_many_may_ask_it_at_once_and_nothing_is_left_afterwards(unpublished: Postgres) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: unpublished.sql("SELECT :n::int + 1 AS n, pg_sleep(0.2)", n=n)["n"][0], range(8))
        )
    assert answers == list(range(1, 9))
    unpublished.close()
    assert relay_threads() == []
    wait_until(lambda: carriers(unpublished.container) == [])
    clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    wait_until(lambda: unpublished.psql("\\t on\n" + clients).text.split()[-1] == "1")  # psql itself
    assert unpublished.sql("SELECT 1").iloc[0, 0] == 1  # and it is still there to be asked


def test_it_asks_for_the_password_as_a_published_port_does(unpublished: Postgres) -> None:
    # Postgres's image trusts connections from the container's own 127.0.0.1.
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=unpublished.url.host, port=unpublished.url.port, user="admin", password="wrong", dbname="testdb"
        )


def test_it_finds_the_server_again_after_a_restart(unpublished: Postgres) -> None:
    unpublished.stop()
    assert relay_threads() == []
    unpublished.start()
    assert unpublished.sql("SELECT 1").iloc[0, 0] == 1
    unpublished.lab.stop("test-db")
    unpublished.lab.start("test-db")  # behind its back: its connections are gone
    wait_until(lambda: unpublished.psql("SELECT 1").exit_code == 0)
    assert unpublished.sql("SELECT 1").iloc[0, 0] == 1


def test_a_forgotten_server_leaves_no_thread(lab: Lab, unpublished: Postgres) -> None:
    unpublished.close()
    again = Postgres(lab, "test-db", volume="pgdata", **LOGIN)
    assert relay_threads()
    del again
    assert relay_threads() == []


def test_the_published_port_of_a_remote_engine_is_not_taken_for_one_of_this_machine(lab: Lab) -> None:
    provide_data(lab)
    Postgres(lab, "test-db", volume="pgdata", **LOGIN).close()
    elsewhere = replace(lab.engine, url="tcp://elsewhere:2376")
    db = Postgres(Lab(lab.name, engine=elsewhere, owner="", echo=None), "test-db", volume="pgdata", **LOGIN)
    try:
        assert relay_threads() and db.sql("SELECT 1").iloc[0, 0] == 1
        assert db.url.port != int(db.container.ports["5432/tcp"][0]["HostPort"])
    finally:
        db.close()


@needs_root
def test_it_is_the_way_out_of_a_container_that_has_only_the_engines_socket(lab: Lab) -> None:
    provide_data(lab)
    Postgres(lab, "test-db", volume="pgdata", **LOGIN).close()
    code = """
import sys
from dockerlab import Lab, Postgres
url, name, password = sys.argv[1:]
db = Postgres(Lab(name, engine=url, owner="", echo=None), "test-db", user="admin", password=password, database="testdb")
print(db.sql("SELECT 41 + 1").iloc[0, 0])
"""
    # A network of its own: nothing that listens on this machine is there, as in a container.
    alone = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"')
    assert python(code, lab.engine.url, lab.name, PASSWORD, before=alone).strip() == "42"


def test_a_stopped_container_has_no_address(lab: Lab, echo: Container) -> None:
    lab.stop(echo, timeout=0)
    with pytest.raises(PostgresError, match="not running"):
        Route(lab, "echo", 7).address()


def test_the_published_port_is_preferred(engine: Engine, lab: Lab) -> None:
    box = lab.run("alpine", ["nc", "-ll", "-p", "7", "-e", "cat"], name="echo", ports={7: None})
    route = Route(lab, "echo", 7)
    assert route.address() == ("127.0.0.1", int(box.ports["7/tcp"][0]["HostPort"])) and route.relay is None
    assert route.detour() is route.detour() and route.address() == ("127.0.0.1", route.detour().port)
    route.close()
    assert relay_threads() == [] and route.address()[1] == int(box.ports["7/tcp"][0]["HostPort"])
