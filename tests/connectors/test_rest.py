"""JSON over HTTP as a source, against a server of the tests' own."""

from __future__ import annotations

import gzip
import logging
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors import (
    ConnectionCutError,
    EmptySourceError,
    Rest,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.rest import client as client_module
from connectors.rest.address import is_public
from connectors.source import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.json_server import Asked, JsonServer, Reply, certificate_for, serving
from tests.connectors.reading import faults, read

PLANTED = "planted & secret/+ä0"
REVIEWS: list[dict[str, Any]] = [
    {"id": 100 + n, "text": f"review {n} 泉", "label": f"{n % 3}", "at": f"2026-01-01T00:{n:02}:00Z"} for n in range(25)
]
REVIEWS[7] = {"id": 107, "text": None, "label": "1", "at": "2026-01-01T00:07:00Z"}
REVIEWS[9] = {"id": 109, "text": ["a", "list"], "label": "1", "at": "2026-01-01T00:09:00Z"}


@pytest.fixture(scope="module")
def running() -> Iterator[JsonServer]:
    with serving() as server:
        yield server


@pytest.fixture
def server(running: JsonServer, monkeypatch: pytest.MonkeyPatch) -> JsonServer:
    """The server, without answers yet, and retries that do not wait."""
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.0)
    monkeypatch.setenv("API_KEY", PLANTED)
    running.asked.clear()
    running.answer = lambda asked: Reply([])
    return running


def rest(server: JsonServer, **options: Any) -> Rest:
    return Rest(**{"url": f"{server.url}/reviews", "allow_private": True, "retries": 2, **options})


class TestRestByLinks(SourceContract):
    secret_values = (PLANTED,)
    row_count = 25

    @pytest.fixture
    def source(self, server: JsonServer) -> PartitionedSource:
        server.links(REVIEWS, size=7)
        return rest(server, pages={"type": "link"}, auth={"type": "api_key", "key": "${env:API_KEY}", "place": "query"})


class TestRestByOffset(SourceContract):
    row_count = 25

    @pytest.fixture
    def source(self, server: JsonServer) -> PartitionedSource:
        server.lists(REVIEWS, total=25)
        pages = {"type": "offset", "size": 4, "total": "total"}
        return rest(server, records="items", pages=pages, partitions_wanted=3)


class TestRestWithACursor(SourceContract):
    row_count = 25

    @pytest.fixture
    def source(self, server: JsonServer) -> PartitionedSource:
        server.lists(REVIEWS)
        pages = {"type": "page", "size": 10}
        return rest(server, records="items", pages=pages, cursor_column="at", id_column="id", since_parameter="since")


class TestPages:
    def test_links_are_followed_in_the_header_or_in_the_body(self, server: JsonServer) -> None:
        server.links(REVIEWS, size=10)
        assert len(_all(rest(server, pages={"type": "link"}))) == 25
        pages = {"": ("a", "/reviews?at=b"), "b": ("b", f"{server.url}/reviews?at=c"), "c": ("c", None)}

        def answer(asked: Asked) -> Reply:
            text, link = pages[asked.query.get("at", "")]
            return Reply({"data": {"rows": [{"text": text}]}, "links": {"next": link}})

        server.answer = answer
        source = rest(server, records="data.rows", pages={"type": "link", "next": "links.next"})
        assert [row["text"] for row in read(source)[0]] == ["a", "b", "c"]

    def test_tokens_are_handed_on_with_the_other_parameters(self, server: JsonServer) -> None:
        following = {None: "x", "x": "y", "y": ""}
        server.answer = lambda asked: Reply(
            {"rows": [{"text": asked.query.get("token", "first")}], "next": following[asked.query.get("token")]}
        )
        source = rest(
            server,
            records="rows",
            parameters={"lang": "de"},
            pages={"type": "cursor", "parameter": "token", "next": "next"},
        )
        assert [row["text"] for row in read(source)[0]] == ["first", "x", "y"]
        assert {asked.query["lang"] for asked in server.asked} == {"de"}

    def test_a_token_that_is_always_there_ends_where_the_server_says(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply({"rows": [{"text": "a"}], "last": 7, "more": "token" not in asked.query})
        pages = {"type": "cursor", "parameter": "token", "next": "last", "more": "more"}
        assert len(read(rest(server, records="rows", pages=pages))[0]) == 2

    @pytest.mark.parametrize("kind", [{"type": "page", "size": 4}, {"type": "offset", "size": 4}])
    @pytest.mark.parametrize("total", [True, False])
    def test_each_page_is_read_once_however_they_are_divided(
        self, server: JsonServer, kind: dict[str, Any], total: bool
    ) -> None:
        server.lists(REVIEWS, pages=7, count=25)
        if total:
            kind = {**kind, "total": "pages" if kind["type"] == "page" else "count"}
        source = rest(server, records="items", pages=kind, id_column="id", partitions_wanted=3)
        with source.plan() as plan:
            assert len(plan.partitions) == (3 if total else 1)
            before = len(server.asked)
            _ = [list(source.scan(one)) for one in plan.partitions]
            pages = [tuple(sorted(asked.query.items())) for asked in server.asked[before:]]
        assert len(set(pages)) == len(pages)
        assert len(pages) == (7 if total else 8)
        assert _all(source) == sorted(str(100 + n) for n in range(25))

    def test_made_ids_do_not_hang_on_how_pages_are_divided(self, server: JsonServer) -> None:
        server.lists(REVIEWS, pages=7)
        pages = {"type": "page", "size": 4, "total": "pages"}
        several, one = (rest(server, records="items", pages=pages, partitions_wanted=wanted) for wanted in (4, 1))
        assert _all(several) == _all(one)

    def test_a_server_that_gives_fewer_than_were_asked_for_is_read_to_the_end(self, server: JsonServer) -> None:
        def answer(asked: Asked) -> Reply:
            start = int(asked.query["offset"])
            return Reply({"items": REVIEWS[start : start + 3], "count": 25})

        server.answer = answer
        pages = {"type": "offset", "size": 10, "total": "count"}
        source = rest(server, records="items", pages=pages, id_column="id", partitions_wanted=2)
        assert len(_all(source)) == 25

    def test_what_is_added_at_the_front_while_pages_are_read_pushes_none_over_the_end(self, server: JsonServer) -> None:
        server.lists(REVIEWS, pages=7)
        source = rest(
            server, records="items", pages={"type": "page", "size": 4, "total": "pages"}, id_column="id", types=TYPES
        )
        with source.plan() as plan:
            new = [{"id": n, "text": "new", "label": "0"} for n in range(4)]
            server.lists([*new, *REVIEWS], pages=8)
            found = {row for one in plan.partitions for row in _ids(source.scan(one))}
        assert {str(100 + n) for n in range(25)} <= found

    def test_each_value_has_a_listing_of_its_own(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply([{"text": asked.path}] if "empty" not in asked.path else [])
        source = rest(
            server, url=f"{server.url}/of/{{value}}", for_each=["a b/c", "empty", "d"], value_column="product"
        )
        rows = read(source)[0]
        assert [(row["text"], row["product"]) for row in rows] == [("/of/a%20b%2Fc", "a b/c"), ("/of/d", "d")]
        assert len({row["row_id"] for row in rows}) == 2
        with source.plan() as plan:
            assert [one.key for one in plan.partitions] == ["a%20b%2Fc", "empty", "d"]

    def test_pages_that_go_round_are_told(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply([{"text": "a"}], headers={"Link": '<?p=1>; rel="next"'})
        with pytest.raises(SourceError, match="go round in a circle"):
            read(rest(server, pages={"type": "link"}))

    def test_a_server_that_does_not_know_the_parameter_is_told(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply(REVIEWS[:2])
        with pytest.raises(SourceError, match="same records as the 2 pages before"):
            read(rest(server, pages={"type": "page", "parameter": "seite"}))

    def test_an_endless_listing_ends(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply([{"text": asked.query["page"]}])
        with pytest.raises(SourceError, match="more than 5 pages; raise the option 'max_pages'"):
            read(rest(server, pages={"type": "page"}, max_pages=5))


TYPES = {"id": "int64", "text": "string", "label": "string", "at": "string"}


class TestRecords:
    def test_records_that_cannot_be_used_are_set_aside(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply(
            b'[{"text": "a", "id": 1}, {"text": 7, "id": 2}, "x", {"id": 3}, {"text": "b"}, {"text": "c", "id": 1},'
            b'{"text": "\\ud800", "id": 4}, {"text": "d", "id": 5}]'
        )
        source = rest(server, id_column="id")
        assert faults(source) == [
            ("type_drift", 2),
            ("not_an_object", 3),
            ("null_text", 4),
            ("null_id", 5),
            ("repeated_record", 6),
            ("undecodable", 7),
        ]
        assert [row["text"] for row in read(source)[0]] == ["a", "d"]

    def test_columns_are_found_where_fields_say(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply([{"a": {"b": "body"}, "tags": [{"name": "x"}], "other": 1}])
        source = rest(server, fields={"body": "a.b", "topic": "tags.0.name"}, text_column="body", label_column="topic")
        assert read(source)[0] == [{"row_id": "all:1", "text": "body", "label": "x"}]

    def test_a_path_that_leads_nowhere_shows_what_there_is(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply({"error": "none", "items": []})
        with pytest.raises(SourceError, match=r"'data'; it is an object of error \(a string\), items \(a list\)"):
            read(rest(server, records="data"))
        server.lists(REVIEWS)
        with pytest.raises(SourceSchemaError, match="no field 'key' as the option 'id_column' wants; it has: id, text"):
            read(rest(server, records="items", id_column="key"))
        with pytest.raises(SourceError, match="no whole number at 'count'"):
            read(rest(server, records="items", pages={"type": "offset", "total": "count"}))

    def test_nothing_listed_is_told(self, server: JsonServer) -> None:
        with pytest.raises(EmptySourceError, match="lists no record"):
            read(rest(server))


class TestIncrements:
    def test_what_comes_between_plan_and_read_is_read_the_next_time(self, server: JsonServer) -> None:
        records = [{"id": n, "text": f"{n}"} for n in range(10)]
        server.lists(records)
        source = rest(server, records="items", pages={"type": "page", "size": 4}, id_column="id", cursor_column="id")
        with source.plan() as plan:
            records += [{"id": 10, "text": "10"}]
            first = [row for one in plan.partitions for row in _ids(source.scan(one))]
        assert (plan.cursor, len(first)) == ("9", 10)
        with source.plan(since=plan.cursor) as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["10"]
        assert plan.cursor == "10"

    def test_the_server_is_told_where_to_begin_and_the_window_is_before_it(self, server: JsonServer) -> None:
        server.lists(REVIEWS)
        source = rest(server, records="items", id_column="id", cursor_column="at", since_parameter="since", late=120)
        with source.plan(since="2026-01-01T00:20:00Z") as plan:
            found = [row for one in plan.partitions for row in _ids(source.scan(one))]
        assert server.asked[-1].query["since"] == "2026-01-01T00:18:00Z"
        assert found == [str(100 + n) for n in range(19, 25)]
        assert plan.cursor == "2026-01-01T00:24:00Z"

    def test_the_second_that_is_not_over_and_the_future_wait(self, server: JsonServer) -> None:
        now = datetime.now(timezone.utc)
        stamps = [now - timedelta(seconds=5), now, now + timedelta(hours=1)]
        server.answer = lambda asked: Reply(
            [{"id": n, "text": f"{n}", "at": at.isoformat()} for n, at in enumerate(stamps)]
        )
        source = rest(server, id_column="id", cursor_column="at")
        with source.plan() as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["0"]
        assert plan.cursor is not None
        stamps[1:] = [now - timedelta(seconds=3), stamps[2]]  # appears late, behind one from the future
        with source.plan(since=plan.cursor) as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["1"]
        assert datetime.fromisoformat(str(plan.cursor)) == stamps[1]

    def test_a_listing_from_the_future_is_read_from_its_beginning_once_it_is_past(self, server: JsonServer) -> None:
        stamps = [datetime.now(timezone.utc) + timedelta(hours=1)]
        server.answer = lambda asked: Reply(
            [{"id": n, "text": f"{n}", "at": at.isoformat()} for n, at in enumerate(stamps)]
        )
        source = rest(server, id_column="id", cursor_column="at")
        with source.plan() as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == []
        stamps[0] -= timedelta(days=400)
        with source.plan(since=plan.cursor) as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["0"]

    def test_with_an_upper_bound_no_page_is_read_to_plan(self, server: JsonServer) -> None:
        server.lists(REVIEWS)
        source = rest(
            server,
            records="items",
            pages={"type": "page", "size": 10},
            id_column="id",
            cursor_column="at",
            since_parameter="from",
            until_parameter="to",
        )
        with source.plan() as plan:
            assert len(server.asked) == 1
            assert len([row for one in plan.partitions for row in _ids(source.scan(one))]) == 25
        assert server.asked[-1].query["to"] == plan.cursor
        assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(str(plan.cursor).replace("Z", "+00:00"))) < (
            timedelta(seconds=30)
        )

    def test_newest_first_needs_one_page_to_plan(self, server: JsonServer) -> None:
        server.lists([{"id": n, "text": f"{n}"} for n in range(30, 0, -1)])
        source = rest(
            server,
            records="items",
            pages={"type": "page", "size": 10},
            id_column="id",
            cursor_column="id",
            newest_first=True,
        )
        with source.plan(since="28") as plan:
            assert len(server.asked) == 2
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["30", "29"]

    def test_a_page_from_the_future_hides_none_of_what_is_behind_it(self, server: JsonServer) -> None:
        now = datetime.now(timezone.utc)
        ages = [timedelta(hours=hours) for hours in (-3, -2, -1, 1, 2, 3)]
        server.lists([{"id": n, "text": f"{n}", "at": (now - age).isoformat()} for n, age in enumerate(ages)])
        pages = {"type": "page", "size": 3}
        source = rest(server, records="items", pages=pages, id_column="id", cursor_column="at", newest_first=True)
        with source.plan(since=(now - timedelta(hours=2.5)).isoformat()) as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["3", "4"]
        assert datetime.fromisoformat(str(plan.cursor)) == now - timedelta(hours=1)

    def test_each_value_has_a_cursor_of_its_own(self, server: JsonServer) -> None:
        kept = {"a": [3, 4], "b": [100]}
        server.answer = lambda asked: Reply(
            [{"id": f"{asked.path[-1]}{n}", "n": n, "text": "x"} for n in kept[asked.path[-1]]]
        )
        source = rest(server, url=f"{server.url}/{{value}}", for_each=["a", "b"], id_column="id", cursor_column="n")
        with source.plan() as plan:
            assert plan.cursor == '{"a": "4", "b": "100"}'
        kept["a"].append(5)
        with source.plan(since=plan.cursor) as plan:
            assert [row for one in plan.partitions for row in _ids(source.scan(one))] == ["a5"]
        assert plan.cursor == '{"a": "5", "b": "100"}'

    def test_a_record_without_a_cursor_is_a_bad_row_each_time(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply(
            [{"id": 1, "text": "a", "n": 1}, {"id": 2, "text": "b", "n": None}, {"id": 3, "text": "c", "n": 2}]
        )
        assert faults(rest(server, id_column="id", cursor_column="n")) == [("bad_cursor", 2)]

    def test_what_is_no_cursor_is_refused(self, server: JsonServer) -> None:
        server.lists(REVIEWS)
        source = rest(server, records="items", id_column="id", cursor_column="at")
        for cursor, said in (("yesterday", "is not the cursor"), ("17", "a time and a number"), ("{", "is not the")):
            with pytest.raises(SourceError, match=said), source.plan(since=cursor):
                pass


class TestFaults:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_what_may_pass_is_tried_again(self, server: JsonServer, status: int) -> None:
        replies = [Reply(status=status, headers={"Retry-After": "0"}), Reply(status=status), Reply(REVIEWS[:3])]
        server.answer = lambda asked: replies.pop(0) if len(replies) > 1 else replies[0]
        assert len(read(rest(server))[0]) == 3
        assert len(server.asked) == 4

    def test_retries_end(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply({"message": "busy"}, status=503)
        with pytest.raises(SourceError, match=r"answers 503: .*busy.*in 3 tries; run again"):
            read(rest(server))
        assert len(server.asked) == 3

    def test_a_server_that_asks_for_an_hour_is_not_waited_for(self, server: JsonServer) -> None:
        server.answer = lambda asked: Reply(status=429, headers={"Retry-After": "3600"})
        with pytest.raises(SourceError, match=r"left alone for 3,600 seconds; run again then"):
            read(rest(server))
        assert len(server.asked) == 1

    def test_a_connection_that_is_cut_in_a_page_goes_on_from_that_page(self, server: JsonServer) -> None:
        server.links(REVIEWS, size=10)
        whole, cuts = server.answer, []

        def answer(asked: Asked) -> Reply:
            reply = whole(asked)
            if asked.query.get("after") == "10" and len(cuts) < 2:
                cuts.append(asked)
                reply.cut = 50
            return reply

        server.answer = answer
        assert len(_all(rest(server, pages={"type": "link"}))) == 25
        assert len(cuts) == 2

    def test_a_server_that_is_down_or_silent_is_told(self, server: JsonServer) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
            with pytest.raises(ConnectionCutError, match=r"/x cannot be reached.*in 3 tries.*whether the server is up"):
                read(Rest(url=url, allow_private=True, retries=2))
            free.listen()
            with pytest.raises(ConnectionCutError, match="/x is silent"):
                read(Rest(url=url, allow_private=True, retries=0, timeout=0.05))
        with pytest.raises(ConnectionCutError, match=r"host no\.such\.host\.invalid cannot be looked up"):
            read(Rest(url="https://no.such.host.invalid", retries=0))

    @pytest.mark.parametrize(
        ("reply", "kind", "said"),
        [
            (Reply(status=404), SourceNotFoundError, "answers 404.*check the option 'url'"),
            (Reply({"message": "bad token"}, status=401), SourceError, "401.*bad token.*check the option 'auth'"),
            (Reply(status=400), SourceError, "400.*check 'url', 'parameters' and 'pages'"),
            (Reply(b"<html>login</html>"), SourceError, "no JSON .*<html>login.*whether it wants a login"),
            (Reply(b"[" * 100_000), SourceError, "nested too deeply"),
            (Reply(b"[" + b" " * 5000), SourceError, "more than 4,000 bytes"),
            (Reply(gzip.compress(b" " * 10**6), headers={"Content-Encoding": "gzip"}), SourceError, "than 4,000 bytes"),
        ],
        ids=["missing", "login", "wrong", "page", "deep", "large", "bomb"],
    )
    def test_what_will_not_pass_is_told_at_once(
        self, server: JsonServer, reply: Reply, kind: type[SourceError], said: str
    ) -> None:
        server.answer = lambda asked: reply
        limit = 200_000 if said == "nested too deeply" else 4_000
        with pytest.raises(kind, match=said):
            read(rest(server, max_response_bytes=limit))
        assert len(server.asked) == 1

    def test_the_rate_is_kept_by_all_tasks_together(self, server: JsonServer) -> None:
        server.lists(REVIEWS, pages=7)
        pages = {"type": "page", "size": 4, "total": "pages"}
        source = rest(server, records="items", pages=pages, partitions_wanted=2, requests_per_second=50)
        with source.plan() as plan:
            for one in plan.partitions:
                with source.asking(one.share) as client:  # type: ignore[attr-defined]
                    assert client.interval == pytest.approx(2 / 50)
        start = datetime.now(timezone.utc)
        read(source)
        assert datetime.now(timezone.utc) - start > timedelta(seconds=7 / 50)


class TestWhereItMayGo:
    def test_addresses_that_are_not_public_are_refused_unless_allowed(self, server: JsonServer) -> None:
        for url in (
            server.url,
            "http://localhost:1",
            "http://[::1]:1",
            "http://169.254.169.254/latest",
            "http://0.0.0.0",
        ):
            with pytest.raises(SourceError, match=r"not of the public internet.*allow_private: true"):
                read(Rest(url=url, retries=0))
        assert server.asked == []

    @pytest.mark.parametrize(
        "address",
        ["10.0.0.1", "172.16.3.4", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
         "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1"],
    )  # fmt: skip
    def test_these_are_not_public(self, address: str) -> None:
        assert not is_public(address)

    def test_these_are_public(self) -> None:
        assert is_public("93.184.216.34")
        assert is_public("2606:2800:220:1::1")

    def test_all_addresses_of_a_name_are_checked(self, server: JsonServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", _names({"mixed.test": ["93.184.216.34", "127.0.0.1"]}))
        with pytest.raises(SourceError, match=r"host mixed.test has the address 127\.0\.0\.1"):
            read(Rest(url="http://mixed.test/x", retries=0))

    def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
        self, server: JsonServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = server.url.rpartition(":")[2]
        server.answer = lambda asked: Reply([{"text": "a"}])
        answers = [["127.0.0.1"], ["192.0.2.1"]]
        monkeypatch.setattr(socket, "getaddrinfo", _names({"rebound.test": answers}))
        with rest(server, url=f"http://rebound.test:{port}/x").asking() as client:
            client.get(f"http://rebound.test:{port}/x")
            client.get(f"http://rebound.test:{port}/x")
        assert [asked.headers["host"] for asked in server.asked] == [f"rebound.test:{port}"] * 2
        assert answers == [["192.0.2.1"]]

    def test_a_redirect_into_a_private_network_is_refused(
        self, server: JsonServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inner = server.url.replace("127.0.0.1", "127.0.0.2")
        server.answer = lambda asked: Reply(status=302, headers={"Location": f"{inner}/in"})
        monkeypatch.setattr("connectors.rest.address.is_public", lambda address: address == "127.0.0.1")
        with pytest.raises(SourceError, match=r"127\.0\.0\.2, which is not of the public internet"):
            read(rest(server, allow_private=False, allow_hosts=["127.0.0.2"]))
        assert len(server.asked) == 1

    def test_links_to_other_hosts_are_refused_unless_allowed_and_get_no_secret(
        self, server: JsonServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = server.url.rpartition(":")[2]
        monkeypatch.setattr(socket, "getaddrinfo", _names({"other.test": ["127.0.0.1"]}))
        monkeypatch.setenv("API_KEY", "planted")

        def answer(asked: Asked) -> Reply:
            if asked.path == "/reviews":
                return Reply([{"text": "a"}], headers={"Link": f'<http://other.test:{port}/more>; rel="next"'})
            if asked.path == "/more":
                return Reply(status=307, headers={"Location": f"{server.url}/home"})
            return Reply([{"text": "b"}])

        server.answer = answer
        options: dict[str, Any] = {
            "pages": {"type": "link"},
            "auth": {"type": "bearer", "token": "${env:API_KEY}"},
            "headers": {"X-Session": "${env:API_KEY}", "X-Open": "yes"},
            "parameters": {"sig": "${env:API_KEY}"},
        }
        with pytest.raises(SourceError, match=r"host other\.test, which is another one.*'allow_hosts'"):
            read(rest(server, **options))
        server.asked.clear()
        assert len(read(rest(server, **options, allow_hosts=["other.test"]))[0]) == 2
        for asked in server.asked:
            shown = "planted" in f"{asked}"
            assert shown == (asked.path != "/more"), asked
            assert asked.headers["x-open"] == "yes"

    def test_certificates_are_held_against_the_name_though_the_address_is_connected_to(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", _names({"good.test": ["127.0.0.1"], "bad.test": ["127.0.0.1"]}))
        with serving(certificate := certificate_for("good.test", tmp_path)) as server:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            server.answer = lambda asked: Reply([{"text": "a"}])
            port = server.url.rpartition(":")[2]
            assert read(rest(server, url=f"https://good.test:{port}/x"))[0]
            with pytest.raises(SourceError, match=r"no certificate for this host.*SSL_CERT_FILE"):
                read(rest(server, url=f"https://bad.test:{port}/x"))

    def test_from_https_only_https_is_followed(self) -> None:
        import httpx2

        with (
            pytest.raises(SourceError, match="only https is followed"),
            Rest(url="https://example.com").asking() as client,
        ):
            client._check(httpx2.URL("http://example.com/next"))


class TestSecrets:
    @pytest.mark.parametrize(
        ("auth", "header"),
        [
            ({"type": "bearer", "token": "${env:TOKEN}"}, ("authorization", "Bearer t0ken")),
            ({"type": "basic", "user": "ann", "password": "${env:TOKEN}"}, ("authorization", "Basic YW5uOnQwa2Vu")),
            ({"type": "api_key", "name": "X-Key", "key": "${env:TOKEN}"}, ("x-key", "t0ken")),
        ],
    )
    def test_the_server_is_told_who_asks(
        self, server: JsonServer, auth: Any, header: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", "t0ken")
        server.answer = lambda asked: Reply([{"text": "a"}])
        read(rest(server, auth=auth))
        assert server.asked[0].headers[header[0]] == header[1]

    @pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
    def test_no_secret_is_in_an_error_or_in_a_log(
        self, server: JsonServer, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server.answer = lambda asked: Reply(f"you sent {asked.query} and {asked.headers}".encode(), status=status)
        options: dict[str, Any] = {
            "parameters": {"api_key": "${env:API_KEY}"},
            "auth": {"type": "basic", "user": "ann", "password": "${env:API_KEY}"},
        }
        with pytest.raises(SourceError) as caught:
            read(rest(server, **options, retries=0))
        assert server.asked[0].query["api_key"] == PLANTED
        told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text} {caught.value.__context__!r}"
        assert [form for form in ("planted", "cGxhbnRlZ") if form in told.partition("__context__")[0]] == []

    def test_a_header_that_cannot_be_sent_is_not_shown(
        self, server: JsonServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for value in ("planted\nsecret", "泉planted"):
            monkeypatch.setenv("API_KEY", value)
            with pytest.raises(SourceError, match="cannot be sent") as caught:
                read(rest(server, auth={"type": "bearer", "token": "${env:API_KEY}"}))
            assert "planted" not in f"{caught.value!r}"

    @pytest.mark.parametrize(
        "options",
        [
            {"parameters": {"api_key": "planted"}},
            {"headers": {"Authorization": "planted"}},
            {"headers": {"Cookie": "planted"}},
            {"url": "https://example.com/?token=planted"},
            {"url": "https://ann:planted@example.com/"},
            {"url": "ftp://example.com"},
            {"url": "http://example.com", "auth": {"type": "bearer", "token": "${env:API_KEY}"}},
            {"for_each": ["a"]},
            {"url": "https://example.com/{value}"},
            {"url": "https://example.com/{value}", "for_each": [".."]},
            {"cursor_column": "at"},
            {"late": 3},
            {"value_column": "a"},
            {"types": {"a": "text"}},
            {"pages": {"type": "leaf"}},
        ],
    )
    def test_options_that_do_not_fit_are_refused_without_showing_secrets(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as caught:
            Rest(**{"url": "https://example.com", **options})
        assert all("planted" not in error["msg"] for error in caught.value.errors())


def _all(source: Rest) -> list[str]:
    rows, bad = read(source)
    return sorted([str(row["row_id"]) for row in rows] + [str(row.row_id) for row in bad])


def _ids(items: Any) -> list[str]:
    found: list[str] = []
    for item in items:
        found += item.column("row_id").to_pylist() if hasattr(item, "column") else [item.row_id]
    return found


def _names(known: dict[str, Any]) -> Any:
    """Return a server of names: to each its addresses, or what it answers the first time, the second, and so on."""

    real = socket.getaddrinfo

    def look_up(host: str, port: int, *options: Any, **named: Any) -> Any:
        if host not in known:
            return real(host, port, *options, **named)
        addresses = known[host]
        if isinstance(addresses[0], list):
            addresses = addresses.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return look_up
