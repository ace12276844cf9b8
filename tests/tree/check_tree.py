#!/usr/bin/env python3
"""Checks of the tree itself: check_tree.py CHECK [ROOT]. Prints what is wrong and exits with 1.

layers  an #include runs only in the direction of the rooms' arrows (docs/design.md, section 6)
habits  what is said once stays in one place: threads, errors; what the library never does
files   every file is in a known folder; none is long without saying why
links   every relative link in a Markdown file leads somewhere
"""

import pathlib
import re
import subprocess
import sys

# What a room may include beside itself and include/evenrow/.
ROOMS = {
    "core": set(),
    "kernels": {"core"},
    "norm": {"core", "kernels"},
    "nn": {"core", "kernels", "norm"},
    "data": {"core", "kernels"},
    "io": {"core", "kernels", "norm", "nn", "data"},
    "train": {"core", "kernels", "norm", "nn", "data", "io"},
    "tune": {"core", "kernels", "norm", "nn", "data", "io", "train"},
    "report": {"core"},
    "cli": {"core", "kernels", "norm", "nn", "data", "io", "train", "tune", "report"},
}
FOLDERS = {
    ".ci", "bench", "cli", "cmake", "docs", "fuzz", "include", "scripts", "src", "tests",
}
ROOT_FILES = {
    ".clang-format", ".clang-tidy", ".editorconfig", ".gitattributes", ".gitignore",
    "CHANGELOG.md", "CMakeLists.txt", "CMakePresets.json", "CONTRIBUTING.md", "LICENSE", "README.md",
}
LONGEST = 450
CODE = {".cpp", ".hpp", ".h", ".c", ".py", ".sh", ".cmake"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^()\s]+)\)")


def project_files(root):
    """Files of the project, relative to root: what git tracks or would; without git, all."""
    try:
        listing = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True).stdout.decode()
        names = [pathlib.PurePosixPath(name) for name in set(listing.split("\0")) if name]
    except (OSError, subprocess.CalledProcessError):
        skipped = re.compile(r"(build.*|\.venv|\.git|runs|out)$")
        names = [pathlib.PurePosixPath(path.relative_to(root).as_posix())
                 for path in root.rglob("*")
                 if path.is_file() and not skipped.match(path.relative_to(root).parts[0])]
    return sorted(name for name in names if (root / name).is_file())


def room_of(name):
    """The room a file belongs to: src/ROOM/..., cli/...; 'public' for include/; or None."""
    if name.parts[0] == "include":
        return "public"
    if name.parts[0] == "cli":
        return "cli"
    return name.parts[1] if name.parts[0] == "src" and len(name.parts) > 2 else None


def included_room(target, name, root):
    """The room an #include leads to; None for the standard library and other libraries."""
    parts = pathlib.PurePosixPath(target).parts
    if parts[0] == "evenrow":
        return "public"
    if parts[0] in ROOMS and (root / "src" / target).exists():
        return parts[0]
    if parts[0] == "src":
        return parts[1] if len(parts) > 1 else None
    beside = (root / name).parent / target
    if ".." in parts and beside.exists():
        return room_of(pathlib.PurePosixPath(beside.resolve().relative_to(root.resolve()).as_posix()))
    return "cli" if parts[0] == "cli" else None


def check_layers(root):
    seen = 0
    for name in project_files(root):
        if name.suffix not in {".cpp", ".hpp", ".h"} or (room := room_of(name)) is None:
            continue
        seen += 1
        if room != "public" and room not in ROOMS:
            yield f"{name}: {room} is not a room of docs/design.md, section 6"
            continue
        allowed = {"public"} if room == "public" else ROOMS[room] | {room, "public"}
        for target in INCLUDE.findall((root / name).read_text(encoding="utf-8")):
            other = included_room(target, name, root)
            if other is not None and other not in allowed:
                yield f"{name}: includes {target}, but {room} must not know {other}"
    if seen == 0:
        yield "no source file was found: this check would pass on anything"


HABITS = [
    (re.compile(r"#\s*pragma\s+omp|\bstd::(j?thread\b(?!::)|async\b)|#\s*include\s*<execution>"),
     lambda name: name.as_posix() != "src/core/threads.cpp",
     "threads are started in src/core/threads.cpp alone, which fixes who does what"),
    (re.compile(r"#\s*include\s*<mpi\.h>"), lambda name: name.parts[1] != "mpi",
     "mpi.h is included in src/mpi/ alone"),
    (re.compile(r"\bstd::(cout|cerr|clog)\b|(?<![\w:])f?printf\s*\(|\bfmt::print\b|\bstd::puts\b"),
     lambda name: True, "the library never prints"),
    (re.compile(r"(?<![\w.>])(std::)?(exit|abort|_Exit|quick_exit|terminate)\s*\("),
     lambda name: True, "the library never ends the process"),
    (re.compile(r"\bthrow\s+(?!std::bad_alloc\b)\w"), lambda name: name.as_posix() != "src/core/fail.hpp",
     "errors are thrown by core::fail alone"),
]


def check_habits(root):
    for name in project_files(root):
        if name.parts[0] != "src" or name.suffix not in {".cpp", ".hpp", ".h"}:
            continue
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1):
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]
            for pattern, applies, habit in HABITS:
                if pattern.search(code) and applies(name):
                    yield f"{name}:{number}: {habit}"


def check_files(root):
    for name in project_files(root):
        if len(name.parts) == 1 and name.as_posix() not in ROOT_FILES:
            yield f"{name}: not a file that belongs in the root folder"
        elif len(name.parts) > 1 and name.parts[0] not in FOLDERS:
            yield f"{name}: not in a folder of docs/design.md, section 6"
        if name.suffix in CODE:
            lines = (root / name).read_text(encoding="utf-8").splitlines()
            # A long file says why at its top: a comment with the word "long" or "one file".
            if len(lines) > LONGEST and not re.search(r"\b(long|one file)\b", "\n".join(lines[:12])):
                yield f"{name}: {len(lines)} lines, more than {LONGEST}, without a reason at its top"


def check_links(root):
    for name in project_files(root):
        if name.suffix != ".md":
            continue
        text = (root / name).read_text(encoding="utf-8")
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for target in LINK.findall(text):
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            found = (root / name).parent / path if path else root / name
            if not found.exists():
                yield f"{name}: link to {target}, which is not there"
            elif anchor and found.suffix == ".md" and anchor not in anchors(found):
                yield f"{name}: link to {target}: {path or name} has no such heading"


def anchors(path):
    """The anchors of a Markdown file's headings, in GitHub's spelling."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+\s+(.*?)\s*#*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


CHECKS = {"layers": check_layers, "habits": check_habits, "files": check_files,
          "links": check_links}


def main(arguments):
    if not arguments or arguments[0] not in CHECKS:
        print(f"usage: check_tree.py {'|'.join(CHECKS)} [ROOT]", file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[1] if len(arguments) > 1 else ".")
    wrong = list(CHECKS[arguments[0]](root))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
