"""Stores in folders, in memory and in a bucket: the same records, and one sentence where a store cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from badnets.core.errors import BadInput
from badnets.sweeps.plan import Plan, make_plan
from badnets.sweeps.store import RECORD, Store
from badnets.sweeps.sweep import run_sweep, status

BASE = {
    "data": {"name": "signs", "options": {"train": 160, "test": 64, "size": 32}},
    "network": "lenet",
    "recipe": {"epochs": 1},
    "backdoor": {"trigger": "square", "rule": {"kind": "all-to-one", "target": 0}},
}
pytestmark = pytest.mark.filterwarnings("ignore")


def plan_of(seeds: int) -> Plan:
    return make_plan({"base": BASE, "seeds": seeds}, where=Path("small.toml"))


class Here:
    """An engine that does each task at once, in this process, and counts them."""

    width = room = 1
    did = 0

    def __init__(self, do: Any, **_: Any) -> None:
        self.do = do

    def submit(self, item: Any) -> Future[Any]:
        job: Future[Any] = Future()
        Here.did += 1
        job.set_result(self.do(item))
        return job

    def cancel(self, job: Future[Any]) -> None:
        """It is done."""

    def close(self) -> None:
        """Nothing to stop."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 of this machine."""
    moto = pytest.importorskip("moto.server", reason="needs the packages moto[server] and s3fs")
    pytest.importorskip("s3fs", reason="needs the extra s3")
    own = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    own.start()
    host, port = own.get_host_and_port()
    yield f"http://{host}:{port}"
    own.stop()


def _ask(address: str, content: bytes) -> None:
    """Tell the server how to be: ``reset-auth`` 0 refuses whoever it does not know, from now on."""
    urlopen(Request(address, content, {"Content-Type": "text/plain"}, method="POST"))  # noqa: S310 (our own server)


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket there."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    _ask(f"{server}/moto-api/reset-auth", b"inf")
    _ask(f"{server}/moto-api/reset", b"")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_records_are_the_same_in_every_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """As in a folder; what is there is not run again, by a store that is opened anew."""
    url = f"{request.getfixturevalue('bucket')}/a/sweep" if kind == "s3" else f"memory://{tmp_path}"
    folder, other = Store(str(tmp_path / "folder")), Store(url)
    assert status(plan_of(1), other).counts["waiting"] == 1
    for store in (folder, other):
        assert run_sweep(plan_of(1), store, Here).counts["done"] == 1
    did, again = Here.did, Store(url)
    record = run_sweep(plan_of(2), again, Here)
    assert (record.counts["done"], Here.did - did) == (2, 1)
    run_sweep(plan_of(2), folder, Here)
    assert all(str(task.record).startswith(url) for task in record.tasks)
    for task in plan_of(2).tasks:
        one, two = (json.loads(store.fs.cat_file(f"{store.root}/{task.id}/{RECORD}")) for store in (folder, again))
        assert (one["results"], one["digest"]) == (two["results"], two["digest"])
        assert one["files"]["network.safetensors"] == two["files"]["network.safetensors"]
        assert folder.run(task.id).results == again.run(task.id).results
    files = {
        store: sorted(path.removeprefix(store.root) for path in store.fs.find(store.root)) for store in (folder, again)
    }
    assert files[folder] == files[again]


def test_a_bucket_that_cannot_be_used(bucket: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none, it is refused, nobody answers: one sentence each, and no bucket is made."""
    import s3fs

    store = Store("s3://no-such-bucket/sweep")
    assert store.states() == (set(), set(), set())
    with pytest.raises(BadInput, match="a store that can be written at s3://no-such-bucket/sweep"):
        run_sweep(plan_of(1), store, Here)
    assert not s3fs.S3FileSystem().exists("no-such-bucket")
    _ask(f"{server}/moto-api/reset-auth", b"0")
    with pytest.raises(BadInput, match=rf"expected a store .*at {bucket}/sweep, got"):
        Store(f"{bucket}/sweep").check_writable()
    _ask(f"{server}/moto-api/reset-auth", b"inf")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(BadInput, match=rf"expected a store at {bucket}/sweep, got an error: .*127.0.0.1:9"):
        Store(f"{bucket}/sweep")
