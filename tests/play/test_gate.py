"""Requests that are not the page's own are turned away before anything is read."""

from __future__ import annotations

import pytest
from tests.play.conftest import HOST, Asker

from badnets.core.errors import BadInput
from badnets.play.gate import HEADERS, LARGEST
from badnets.play.serving import check_host, hosts_of


def test_the_page_itself_may(asker: Asker) -> None:
    page = asker.client.get(f"/{asker.may.token}/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert {name: page.headers[name] for name in HEADERS} == dict(HEADERS)
    assert "<script>" not in page.text
    assert "onclick" not in page.text
    assert "style=" not in page.text
    assert asker("begin")["task"] == "classify"


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "127.0.0.1", "127.0.0.1:8766", "localhost.evil.example:8765", ""]
)
def test_another_host_is_turned_away(asker: Asker, host: str) -> None:
    assert asker.client.get(f"/{asker.may.token}/", headers={"host": host}).status_code == 421
    assert asker.post("begin", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "https://127.0.0.1:8765", "http://localhost:8765", f"http://{HOST}/"]
)
def test_another_origin_is_turned_away(asker: Asker, origin: str) -> None:
    assert asker.post("begin", headers={"origin": origin}).status_code == 403


def test_no_origin_is_turned_away(asker: Asker) -> None:
    path = f"/{asker.may.token}/ask/begin"
    assert asker.client.post(path, json={}).status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", "..", "%2e%2e", "A" * 22])
def test_another_token_is_turned_away(asker: Asker, token: str) -> None:
    headers = {"origin": f"http://{HOST}"}
    assert asker.client.get(f"/{token}/").status_code == 404
    assert asker.client.post(f"/{token}/ask/begin", json={}, headers=headers).status_code == 404


def test_the_token_alone_is_no_address(asker: Asker) -> None:
    assert asker.client.get(f"/{asker.may.token}").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_turned_away(asker: Asker, method: str) -> None:
    answer = asker.client.request(method, f"/{asker.may.token}/ask/begin", headers={"origin": f"http://{HOST}"})
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_questions_are_not_got(asker: Asker) -> None:
    assert asker.client.get(f"/{asker.may.token}/ask/begin").status_code in (404, 405)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/jsonp"],
)
def test_other_types_are_turned_away(asker: Asker, kind: str) -> None:
    assert asker.post("begin", headers={"content-type": kind}).status_code == 415


def test_large_questions_are_turned_away(asker: Asker) -> None:
    assert asker.post("begin", headers={"content-length": str(LARGEST + 1)}, content=b"{}").status_code == 413
    assert asker.post("answer", content=b" " * (5 << 20)).status_code == 413


def test_a_question_says_its_length(asker: Asker) -> None:
    assert asker.post("begin", content=iter([b"{}"])).status_code == 411


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"nonsense", b'{"page": 1e999}', b"[" * 100_000, b'{"picture": {"row": NaN}}', b"\xff"]
)
def test_what_is_no_question_is_a_sentence(asker: Asker, content: bytes) -> None:
    answer = asker.post("answer", content=content)
    assert answer.status_code == 400
    assert answer.json()["problem"].startswith("the page's question: expected")


@pytest.mark.parametrize(
    "name", ["../server.py", "..%2fserver.py", "server.py", "/etc/passwd", "index.html%00", "%2e%2e/x"]
)
def test_no_path_leads_to_the_disk(asker: Asker, name: str) -> None:
    answer = asker.client.get(f"/{asker.may.token}/{name}")
    assert answer.status_code == 404


@pytest.mark.parametrize("kind", ["picture", "blend"])
def test_no_setting_names_a_file(asker: Asker, kind: str, tmp_path: object) -> None:
    for settings in ({"path": "/etc/passwd"}, {"png": "AAAA"}, {"path": 1}, {"seed": "/etc/passwd"}):
        sticker = {"name": kind, "settings": settings}
        assert asker.post("answer", {"picture": {"row": 0}, "sticker": sticker}).status_code == 400


def test_others_are_served_only_knowingly() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(host, knowing=False)
    with pytest.raises(BadInput, match=r"whoever reaches it .* add --i-know"):
        check_host("0.0.0.0", knowing=False)  # noqa: S104
    check_host("0.0.0.0", knowing=True)  # noqa: S104
    assert hosts_of("127.0.0.1") == ["127.0.0.1", "localhost"]
    assert hosts_of("192.168.1.7") == ["192.168.1.7"]
