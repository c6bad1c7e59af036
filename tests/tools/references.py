#!/usr/bin/env python3
"""Writes src/html/references_table.inc from Python's copy of HTML's named character references.

    /usr/bin/python3 tests/tools/references.py > src/html/references_table.inc

The names are joined into one text, sorted as bytes, so that the table needs no relocations."""
import html.entities

names = sorted(html.entities.html5, key=lambda n: n.encode())
print("// Made by tests/tools/references.py: HTML's named character references, sorted.")
print("// clang-format off")
print("static const char reference_names[] =")
for i in range(0, len(names), 8):
    print('    "%s"' % "".join(names[i:i + 8]) + (";" if i + 8 >= len(names) else ""))
print("static const struct reference reference_rows[] = {")
at, line = 0, "   "
for name in names:
    points = [ord(c) for c in html.entities.html5[name]] + [0]
    item = " { %d, %d, 0x%x, 0x%x }," % (at, len(name), points[0], points[1])
    at += len(name)
    if len(line) + len(item) > 98:
        print(line)
        line = "   "
    line += item
print(line)
print("};")
print("// clang-format on")
