from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.ports import artifact_root, result_path


@pytest.fixture(params=["directory", "url", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FsspecArtifacts:
    urls = {"directory": str(tmp_path / "a"), "url": f"file://{tmp_path}/a", "memory": f"memory://{tmp_path.name}"}
    return FsspecArtifacts(urls[request.param])


async def test_what_was_put_is_got_with_its_digest(store: FsspecArtifacts) -> None:
    path = result_path("uid", "s1", 1)
    link = await store.put(path, b"content")
    assert await store.get(path) == (link, b"content")
    assert (link.name, link.bytes) == ("result", 7)
    assert link.digest == "sha256:" + hashlib.sha256(b"content").hexdigest()


async def test_a_second_put_replaces(store: FsspecArtifacts) -> None:
    await store.put("runs/u/a.json", b"1")
    await store.put("runs/u/a.json", b"22")
    found = await store.get("runs/u/a.json")
    assert found is not None
    assert found[1] == b"22"


async def test_nothing_is_got_where_nothing_is(store: FsspecArtifacts) -> None:
    assert await store.get("runs/u/a.json") is None
    await store.put("runs/u/a.json", b"1")
    assert await store.get("runs/u") is None
    assert await store.children("runs/other") == ()


async def test_a_tree_goes_as_a_whole_and_alone(store: FsspecArtifacts) -> None:
    await store.put("runs/u/s/1/result.json", b"1")
    await store.put("runs/v/s/1/result.json", b"2")
    await store.delete_tree(artifact_root("u"))
    await store.delete_tree(artifact_root("u"))
    assert await store.children("runs") == ("v",)


async def test_no_partial_file_is_left(tmp_path: Path) -> None:
    store = FsspecArtifacts(str(tmp_path))
    await store.put("runs/u/a.json", b"1")
    assert [path.name for path in (tmp_path / "runs" / "u").iterdir()] == ["a.json"]


async def test_what_cannot_be_written_is_an_os_error_and_leaves_the_old(tmp_path: Path) -> None:
    store = FsspecArtifacts(str(tmp_path))
    (tmp_path / "runs").write_text("a file where a directory should be")
    with pytest.raises(OSError, match="runs"):
        await store.put("runs/u/a.json", b"1")


async def test_links_name_the_operator_where_it_serves_the_store(tmp_path: Path) -> None:
    store = FsspecArtifacts(str(tmp_path), "https://perfrun.ns.svc:8443/")
    link = await store.put("runs/u/a.json", b"1")
    assert link.url == "https://perfrun.ns.svc:8443/artifacts/runs/u/a.json"


@pytest.mark.parametrize("path", ["../x", "runs/../../x", "/etc/passwd", "", "runs/\0"])
async def test_no_path_leads_out_of_the_store(store: FsspecArtifacts, path: str) -> None:
    with pytest.raises(ValueError, match="no path below"):
        await store.put(path, b"")


@given(st.text(min_size=1, max_size=30))
def test_a_result_path_is_inside_its_run_or_refused(stage: str) -> None:
    path = result_path("uid", stage.replace("/", "-"), 1)
    assert path.startswith(artifact_root("uid") + "/")
