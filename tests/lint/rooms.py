#!/usr/bin/python3
"""The rules of the house that a compiler cannot check.

rooms.py [TOP]: layers (an include goes downwards only), names of include guards, a .c includes its
own .h first, banned calls, paths of one machine in tracked files. Prints FILE:LINE: what; fails
when there is any. Run on src/, except for the paths.
"""
import os
import re
import subprocess
import sys

# From the ground up. Folders on one floor are strangers to each other.
FLOORS = [
    ["base"],
    ["io", "http", "filter", "html", "trust", "state"],
    ["proxy"],
    ["admin"],
    ["daemon"],
    ["cli"],
]
FLOOR = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
BANNED = ("strcpy strcat sprintf vsprintf strtok atoi atol alloca rand srand gets system popen "
          "tmpnam mktemp").split()
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]*)"|<([^>]*)>)', re.M)
# Written so that they do not find themselves.
MACHINE = re.compile(rb"(?<![\w.])/(?:w[o]rk|f[a]rm|r[o]ot|tmp/d[j]|home/[a-z])(?:/|\b)")
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def without_comments(text, strings=False):
    """The text with comments (and strings) blanked out, lines kept."""
    def blank(match):
        token = match.group()
        if token[0] == "/" or strings:
            return re.sub(r"[^\n]", " ", token)
        return token
    return TOKEN.sub(blank, text)


def sources(top):
    for folder, _, names in os.walk(os.path.join(top, "src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), top)


def check_source(top, path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        text = file.read()
    room = path[len("src/"):]
    folder = room.rpartition("/")[0]
    bare = without_comments(text)

    def at(position):
        return "%s:%d" % (path, text.count("\n", 0, position) + 1)

    if folder and folder not in FLOOR:
        yield "%s:1: folder %s has no floor in the house" % (path, folder)
        return
    includes = list(INCLUDE.finditer(bare))
    for match in includes:
        wanted = match.group(1)
        if wanted is None:
            continue
        other = wanted.rpartition("/")[0]
        if other not in FLOOR:
            yield '%s: include "%s" does not say its folder' % (at(match.start()), wanted)
        elif folder and other != folder and FLOOR[other] >= FLOOR[folder]:
            way = "sideways" if FLOOR[other] == FLOOR[folder] else "upwards"
            yield "%s: %s includes %s: %s" % (at(match.start()), folder, other, way)
        elif not folder and other not in ("cli", "base"):
            yield "%s: main.c includes %s, but knows only cli and base" % (at(match.start()), other)

    if room.endswith(".h"):
        guard = "DEJUNK_" + re.sub(r"[/.-]", "_", room).upper()
        match = re.match(r"\s*#ifndef (\w+)\n#define (\w+)\n", bare)
        if not match or match.group(1) != guard or match.group(2) != guard:
            yield "%s: the guard is not %s" % (path + ":1", guard)
    else:
        own = room[:-2] + ".h"
        if os.path.exists(os.path.join(top, "src", own)):
            if not includes or includes[0].group(1) != own:
                yield '%s:1: the first include is not "%s"' % (path, own)

    for match in CALL.finditer(without_comments(text, strings=True)):
        yield "%s: %s() is banned" % (at(match.start()), match.group(1))


def check_paths(top):
    listed = subprocess.run(["git", "-C", top, "ls-files", "-z"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=False)
    for name in filter(None, listed.stdout.decode().split("\0")):
        try:
            with open(os.path.join(top, name), "rb") as file:
                data = file.read()
        except OSError:  # removed, not yet committed; or a link to nowhere
            continue
        if b"\0" in data[:4096]:
            continue
        for match in MACHINE.finditer(data):
            line = data.count(b"\n", 0, match.start()) + 1
            yield "%s:%d: path of one machine: %s" % (name, line, match.group().decode())


def check(top):
    for path in sources(top):
        yield from check_source(top, path)
    yield from check_paths(top)


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    found = list(check(top))
    for line in found:
        print(line)
    files = sum(1 for _ in sources(top))
    print("rooms: %d files, %d against the rules" % (files, len(found)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
