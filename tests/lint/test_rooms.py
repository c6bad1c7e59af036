"""The lint itself is tried on bad examples: each must be found, and good code must pass."""
import os
import subprocess

import pytest
import rooms

GOOD_H = "/* b.h - a room. */\n#ifndef DEJUNK_IO_B_H\n#define DEJUNK_IO_B_H\n%s\n#endif\n"

BAD = [
    ("upwards", "src/io/x.c", '#include "proxy/x.h"\n', "upwards"),
    ("sideways", "src/io/x.c", '#include "http/x.h"\n', "sideways"),
    ("from the ground", "src/base/a.c", '#include "io/x.h"\n', "upwards"),
    ("in a header", "src/io/b.h", GOOD_H % '#include "state/config.h"', "sideways"),
    ("with blanks", "src/io/x.c", '  #  include   "proxy/x.h"\n', "upwards"),
    ("without its folder", "src/io/x.c", '#include "x.h"\n', "its folder"),
    ("through the yard", "src/io/x.c", '#include "../proxy/x.h"\n', "its folder"),
    ("an unknown folder", "src/attic/a.c", "", "no floor"),
    ("main beside cli", "src/main.c", '#include "proxy/x.h"\n', "main.c includes proxy"),
    ("wrong guard", "src/io/b.h", "#ifndef IO_B_H\n#define IO_B_H\n#endif\n", "guard"),
    ("no guard", "src/io/b.h", "int b;\n", "guard"),
    ("guard of another", "src/io/c.h", GOOD_H % "", "guard"),
    ("own header second", "src/io/a.c", '#include <stdio.h>\n#include "io/a.h"\n', "first include"),
    ("banned call", "src/io/a.c", '#include "io/a.h"\nint f(char *s) { return atoi (s); }\n',
     "a.c:2: atoi()"),
    ("banned in cli", "src/cli/x.c", "void f(void)\n{\n    system(\"ls\");\n}\n", "x.c:3: system()"),
    ("sprintf", "src/io/a.c", '#include "io/a.h"\nvoid f(char *s) { sprintf(s, "x"); }\n', "sprintf()"),
]

GOOD = [
    ("downwards", "src/proxy/a.c", '#include "io/x.h"\n#include "base/x.h"\n#include "proxy/y.h"\n'),
    ("own header first", "src/io/a.c", '/* x */\n#include "io/a.h"\n#include <stdio.h>\n'),
    ("the comment names it", "src/io/b.h", GOOD_H % '// strcpy() is banned; #include "proxy/x.h"\n'),
    ("the string names it", "src/base/c.c", 'const char *c = "system(1)";\n'),
    ("a longer name", "src/base/c.c", "int my_rand(void);\nint snprintf(int);\nint x(struct s *s)"
                                      " { return s->rand(1); }\n"),
]


def house(tmp_path, path, text):
    (tmp_path / "src/io").mkdir(parents=True)
    (tmp_path / "src/io/a.h").write_text("#ifndef DEJUNK_IO_A_H\n#define DEJUNK_IO_A_H\n#endif\n")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    return str(tmp_path)


@pytest.mark.parametrize("name,path,text,want", BAD, ids=[row[0] for row in BAD])
def test_bad_example_is_found(tmp_path, name, path, text, want):
    found = list(rooms.check(house(tmp_path, path, text)))
    assert len(found) == 1 and want in found[0], found


@pytest.mark.parametrize("name,path,text", GOOD, ids=[row[0] for row in GOOD])
def test_good_example_passes(tmp_path, name, path, text):
    assert list(rooms.check(house(tmp_path, path, text))) == []


def test_path_of_one_machine_is_found(tmp_path):
    one = "/".join(["", "work", ""])  # not as it would be found in this file
    top = house(tmp_path, "conf/x", "ok: /usr{0}x http://a{0} a{0}y\nbad: {0}x\n".format(one))
    subprocess.run(["git", "init", "-q", top], check=True)
    subprocess.run(["git", "-C", top, "add", "."], check=True)
    found = list(rooms.check_paths(top))
    assert len(found) == 1 and found[0].startswith("conf/x:2:"), found


def test_this_house_keeps_its_rules():
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    assert list(rooms.check(top)) == []
