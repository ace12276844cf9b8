#!/usr/bin/env python3
"""Every check of check_tree.py fails on a small tree that breaks it, and on nothing else."""

import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_tree  # noqa: E402


class CheckTreeTest(unittest.TestCase):
    def found(self, check, files):
        """What the check says about a tree with these files (path: content)."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, content in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
            return list(check_tree.CHECKS[check](root))

    RIGHT = {
        "include/evenrow/error.hpp": "#include <string>\n",
        "include/evenrow/model.hpp": '#include "evenrow/error.hpp"\n',
        "src/core/fail.hpp": '#include "evenrow/error.hpp"\n  throw Error(kind, text);\n',
        "src/core/threads.cpp": "  std::thread([] {}).detach();\n",
        "src/data/csv.cpp": '#include "core/fail.hpp"\n',
        "src/io/model.cpp": '#include "data/csv.hpp"\n#include "core/fail.hpp"\n',
        "src/train/loop.cpp": '#include <vector>\n#include "core/fail.hpp"\n',
        "src/report/table.hpp": "// A table.\n",
        "cli/main.cpp": '#include "report/table.hpp"\n#include "evenrow/model.hpp"\n',
    }

    def test_a_right_tree_passes_everything(self):
        for check in check_tree.CHECKS:
            self.assertEqual(self.found(check, self.RIGHT), [], check)

    def test_arrows_in_the_wrong_direction(self):
        wrong = {
            "src/core/a.cpp": '#include "report/table.hpp"\n',
            "src/data/a.cpp": '#include "io/model.hpp"\n',
            "src/io/a.cpp": '#include "train/loop.hpp"\n',
            "src/norm/a.cpp": '# include "nn/dense.hpp"\n',
            "src/report/a.cpp": '#include "data/csv.hpp"\n',
            "src/train/a.cpp": '#include "cli/verbs.hpp"\n',
            "src/nn/a.cpp": '#include "../train/loop.hpp"\n',
            "include/evenrow/a.hpp": '#include "core/fail.hpp"\n',
        }
        exists = {"src/io/model.hpp": "", "src/train/loop.hpp": "", "src/nn/dense.hpp": "",
                  "src/data/csv.hpp": "", "cli/verbs.hpp": ""}
        for name, content in wrong.items():
            found = self.found("layers", {**self.RIGHT, **exists, name: content})
            self.assertEqual(len(found), 1, name)
            self.assertIn(name, found[0])

    def test_an_unknown_room_and_an_empty_tree(self):
        self.assertEqual(len(self.found("layers", {**self.RIGHT, "src/extra/a.cpp": ""})), 1)
        self.assertEqual(len(self.found("layers", {"README.md": ""})), 1)

    def test_habits(self):
        for line in ("#pragma omp parallel for reduction(+ : sum)", "std::thread t;",
                     "std::jthread t;", "std::async(f);", "#include <execution>", 'std::cerr << "x";',
                     'printf("x");', 'fmt::print("x");', "std::exit(1);", "abort();",
                     'throw std::runtime_error("x");', "#include <mpi.h>"):
            found = self.found("habits", {**self.RIGHT, "src/nn/a.cpp": line + "\n"})
            self.assertEqual(len(found), 1, line)
        for line in ("snprintf(b, 3, x);", "std::thread::id id;", "throw;", "throw std::bad_alloc();", "// abort()",
                     "on_exit(1);", 'fail("call exit(1)");'):
            self.assertEqual(self.found("habits", {"src/nn/a.cpp": line + "\n"}), [], line)

    def test_files(self):
        long = "int a;\n" * (check_tree.LONGEST + 1)
        self.assertEqual(len(self.found("files", {"src/nn/a.cpp": long})), 1)
        self.assertEqual(self.found("files", {"src/nn/a.cpp": "// One file, long: why.\n" + long}), [])
        self.assertEqual(len(self.found("files", {"notes.txt": ""})), 1)
        self.assertEqual(len(self.found("files", {"misc/a.cpp": ""})), 1)

    def test_links(self):
        page = "# One title\n[a](b.md) [c](https://example.org) [d](#one-title) ![e](e.png)\n"
        self.assertEqual(self.found("links", {"docs/a.md": page, "docs/b.md": "", "docs/e.png": ""}),
                         [])
        self.assertEqual(len(self.found("links", {"docs/a.md": page})), 2)
        self.assertEqual(len(self.found("links", {"a.md": "[x](#nowhere)\n"})), 1)


if __name__ == "__main__":
    unittest.main()
