"""The lock, pyproject.toml, environment.yml, the workflows and `make` agree."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from at_hand import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PYTHONS = ["3.11", "3.12", "3.13"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PEERS_LOCK = (ROOT / "requirements-peers.lock").read_text()
INTEROP_LOCK = (ROOT / "requirements-interop.lock").read_text()
WANTED = [
    *PROJECT["dependencies"],
    *PROJECT["optional-dependencies"]["book"],
    *PROJECT["optional-dependencies"]["test"],
    *PROJECT["optional-dependencies"]["cluster"],
    *PROJECT["optional-dependencies"]["testbed"],
]


def pins(python: str, lock: str = LOCK) -> dict[str, Requirement]:
    """Return what a lock installs for this Python on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    lines = re.sub(r" \\\n", " ", lock).splitlines()
    found = [Requirement(x.split(" --hash")[0]) for x in lines if re.match(r"\w", x)]
    chosen = [r for r in found if r.marker is None or r.marker.evaluate(environment)]
    names = [canonicalize_name(r.name) for r in chosen]
    assert len(names) == len(set(names)), "two versions of one package"
    return dict(zip(names, chosen, strict=True))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("wanted", WANTED)
def test_lock_satisfies_every_requirement(python: str, wanted: str) -> None:
    """For each Python that the book supports."""
    requirement = Requirement(wanted)
    pin = pins(python)[canonicalize_name(requirement.name)]
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert requirement.specifier.contains(exact.version)


@pytest.mark.parametrize("python", PYTHONS)
def test_peers_lock_is_the_books_and_the_peers(python: str) -> None:
    """The comparison runs on the versions that the book runs on."""
    ours, theirs = pins(python), pins(python, PEERS_LOCK)
    for wanted in PROJECT["dependencies"]:
        assert canonicalize_name(Requirement(wanted).name) in theirs
    for wanted in PROJECT["optional-dependencies"]["peers"]:
        requirement = Requirement(wanted)
        (exact,) = theirs[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(exact.version)
    for name in ours.keys() & theirs.keys():
        assert ours[name].specifier == theirs[name].specifier, name


@pytest.mark.parametrize("python", PYTHONS)
def test_interop_lock_is_the_tools_and_what_reads_their_logs(python: str) -> None:
    """The packages that are left out come as source, or call models and fetch data."""
    theirs = pins(python, INTEROP_LOCK)
    for wanted in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["interop"]]:
        requirement = Requirement(wanted)
        (exact,) = theirs[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(exact.version)
    left_out = (ROOT / "tests/interop/left_out.txt").read_text().splitlines()
    names = {Requirement(line).name for line in left_out if not line.startswith("#")}
    assert names and not names & theirs.keys()


@pytest.mark.parametrize("lock", [LOCK, PEERS_LOCK, INTEROP_LOCK])
def test_every_pin_is_exact_and_hashed(lock: str) -> None:
    """Every entry is NAME==VERSION, perhaps a marker, and hashes.

    The one other line has whoever installs the lock take wheels only: nothing is built, so nothing
    runs that the lock does not name.
    """
    rule, _, entries = lock.partition("\n\n")
    assert rule == "--only-binary :all:"
    pin = r"[\w.-]+(\[[\w-]+\])?==[\w.]+( ; [^\\\n]+)?"
    entry = pin + r"( \\\n    --hash=sha256:[0-9a-f]{64})+\n(    #.*\n)*"
    assert re.fullmatch(f"({entry})+", entries)


def test_what_is_held_back_is_explained() -> None:
    """Every upper bound says why, on its line or on those above it."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    bounds = [n for n, line in enumerate(lines) if re.search(r'"[^"]*<\d', line)]
    assert len(bounds) >= 4
    unsaid = [lines[n] for n in bounds if "# " not in lines[n - 1] + lines[n]]
    assert unsaid == []


def test_supported_pythons_are_the_same_everywhere() -> None:
    """In pyproject.toml, environment.yml, the workflow and the script that makes environments."""
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{n}" for n in range(9, 20) if supported.contains(f"3.{n}.0")] == PYTHONS
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == PYTHONS
    assert f"    {' | '.join(PYTHONS)})" in (ROOT / "book/environment.sh").read_text()


def test_environment_yml_is_the_lock() -> None:
    """It adds a Python that the lock holds for, pip, and nothing else."""
    python, pip, packages = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert python.removeprefix("python=") in PYTHONS
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements.lock"]}


def test_a_student_computes_on_one_thread() -> None:
    """On Binder, which starts everything through `start`, and by `make lab`, as the site does."""
    asked = 'echo "$OPENBLAS_NUM_THREADS"'
    found = subprocess.run([ROOT / "start", "sh", "-c", asked], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "1\n")
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^test lab .*: export OPENBLAS_NUM_THREADS = 1$", makefile, re.MULTILINE)


def test_workflow_actions_are_pinned() -> None:
    """By commit, since a tag can move."""
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for used in re.findall(r"uses: *(.*)", path.read_text()):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", used)


def committed() -> list[Path]:
    """Return every file of the repository that is or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        # In an archive nothing tells committed files from built ones.
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is the reader's business."""
    # In parts, so that this file names none either.
    hosts = ["pypi" + ".org", "pypi" + ".python", "pythonhosted" + ".org", "anaconda" + ".org"]
    hosts += ["anaconda" + ".com", "npmjs" + ".org", "npmjs" + ".com", "jsdelivr" + ".net"]
    options = [
        "--index" + "-url",
        "--extra-index" + "-url",
        "--find" + "-links",
        "--trusted" + "-host",
    ]
    for path in committed():
        content = path.read_bytes().decode(errors="ignore").lower()
        for name in [*hosts, *options]:
            assert name not in content, f"{path.relative_to(ROOT)} names {name}"
    for sign in ["://", " @ ", "-i ", "-f "]:
        assert sign not in LOCK + PEERS_LOCK


# ------------------------------------------------------------------------------ environment.sh


def make_environment(
    tmp_path: Path, pythons: dict[str, str], wish: str = "", *lock: str
) -> subprocess.CompletedProcess[str]:
    """Run environment.sh where only these interpreters (name: shell script) can be found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in pythons.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    for tool in ["touch", "mkdir", "cat", "awk"]:
        (folder / tool).symlink_to(shutil.which(tool) or "")
    command = ["/bin/sh", str(ROOT / "book/environment.sh"), "env", "env/stamp", wish, *lock]
    return subprocess.run(
        command, cwd=tmp_path, env={"PATH": str(folder)}, capture_output=True, text=True
    )


def says(version: str, *, venv: bool) -> str:
    """Return a script that answers as a Python of this version, with or without venv."""
    return f'case "$*" in *version*) echo {version};; *ensurepip*) exit {0 if venv else 1};; esac'


@pytest.mark.parametrize(
    ("pythons", "wish", "message"),
    [
        ({}, "", "no Python found, the book needs Python 3.11, 3.12 or 3.13: install one"),
        ({}, "python3.12", "no python3.12 found, the book needs"),
        ({"python3": says("3.9", venv=True)}, "", "python3 is Python 3.9, the book needs 3.11"),
        ({"python3": says("3.14", venv=True)}, "", "python3 is Python 3.14, the book needs 3.11"),
        (
            {"python3": says("3.11", venv=False)},
            "",
            "python3 has no venv: install it, on Debian or Ubuntu with: "
            "apt-get install python3.11-venv",
        ),
        (
            {"python3.10": says("3.10", venv=True), "python3": says("3.12", venv=True)},
            "python3.10",
            "python3.10 is Python 3.10, the book needs 3.11",
        ),
    ],
)
def test_unfit_python_is_told_in_one_line(
    tmp_path: Path, pythons: dict[str, str], wish: str, message: str
) -> None:
    """What is wrong and what to install."""
    done = make_environment(tmp_path, pythons, wish)
    assert done.returncode == 1
    assert done.stderr.startswith(f"environment: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "env").exists()


# A Python whose environment holds a pip that succeeds or not, and which brings a uv likewise.
MAKES_VENV = """
case "$*" in
*version*) echo 3.12;;
*"-m venv"*)
    mkdir -p env/bin
    printf '#!/bin/sh\\necho pip "$@" >>said; case "$*" in *uv.lock) exit UV;; esac; exit PIP\\n' \
        >env/bin/python
    printf '#!/bin/sh\\necho uv "$@" >>said; exit UV\\n' >env/bin/uv
    /bin/chmod +x env/bin/python env/bin/uv;;
esac
"""
SMALL_LOCK = r"""--only-binary :all:

six==1.17.0 \
    --hash=sha256:4721f391
uv==0.13.9 \
    --hash=sha256:0a1b \
    --hash=sha256:2c3d
    # via t2lib
zipp==4.1.2 \
    --hash=sha256:b30c
"""


def installs(tmp_path: Path, *, uv: int, pip: int, lock: str = "requirements.lock") -> str:
    """Run environment.sh with tools that exit so; return what it told and what it ran."""
    (tmp_path / "requirements.lock").write_text(SMALL_LOCK)
    unfit = says("3.13", venv=False)
    fit = MAKES_VENV.replace("UV", str(uv)).replace("PIP", str(pip))
    done = make_environment(tmp_path, {"python3.13": unfit, "python3": fit}, "", lock)
    assert "env from python3," in done.stderr
    assert done.returncode == int(uv and pip)
    assert (tmp_path / "env/stamp").exists() == (done.returncode == 0)
    assert (f"pip could not install {lock}" in done.stderr) == (done.returncode == 1)
    return (tmp_path / "said").read_text()


def test_uv_installs_where_it_can(tmp_path: Path) -> None:
    """It comes out of the lock itself, checked like everything else."""
    first, second = installs(tmp_path, uv=0, pip=1).splitlines()
    assert first.endswith("--require-hashes --only-binary :all: -r env/uv.lock")
    assert second.startswith("uv pip install") and second.endswith("-r requirements.lock")
    assert "--require-hashes" in second
    own = SMALL_LOCK[SMALL_LOCK.index("uv==") : SMALL_LOCK.index("    # via")]
    assert (tmp_path / "env/uv.lock").read_text() == own


@pytest.mark.parametrize("pip", [0, 1])
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-peers.lock"])
def test_pip_installs_where_uv_cannot(tmp_path: Path, pip: int, lock: str) -> None:
    """A failed installation is begun again by the next make; a better Python is found by itself."""
    *_, last = installs(tmp_path, uv=1, pip=pip, lock=lock).splitlines()
    assert last.startswith("pip ") and last.endswith(f"--require-hashes -r {lock}")


def test_make_help_names_every_command() -> None:
    """And the commands are those that the book names."""
    # A make above this one would have the inner one tell which folder it enters.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    )
    named = [line.split()[1] for line in done.stdout.splitlines()]
    assert named == re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[0].split()
    known = {
        "book",
        "pdf",
        "numbers",
        "test",
        "lab",
        "serve",
        "data",
        "bench",
        "bench-peers",
        "slow",
        "interop",
        "testbed",
        "chosen",
        "further",
        "lock",
    }
    assert known | {"sbom", "clean", "help"} == set(named)
