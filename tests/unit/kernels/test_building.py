"""What a Go program is made of, so that a binary of another source is never taken for it."""

import pytest

from perfrun_kernels import building


@pytest.fixture
def source(tmp_path):
    """A program with a package below it that embeds a file."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "go.mod").write_text("module small\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() {}\n")
    (tmp_path / "inner" / "inner.go").write_text("package inner\n\n//go:embed data.o\nvar d []byte\n")
    (tmp_path / "inner" / "data.o").write_bytes(b"1")
    return tmp_path


@pytest.mark.parametrize("name", ["go.mod", "main.go", "inner/inner.go", "inner/data.o"])
def test_any_part_of_the_program_changes_its_digest(source, name):
    before = building.digest(source)
    (source / name).write_bytes((source / name).read_bytes() + b"\n")
    assert building.digest(source) != before


@pytest.mark.parametrize("name", ["README.md", "inner/inner_test.go", "inner/other.o"])
def test_what_is_not_built_changes_nothing(source, name):
    before = building.digest(source)
    (source / name).write_text("anything")
    assert building.digest(source) == before
