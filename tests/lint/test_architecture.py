"""What docs/ARCHITECTURE.md names is there: files, functions, structs, fields."""
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_what_the_architecture_names_exists():
    text = (TOP / "docs/ARCHITECTURE.md").read_text()
    sources = "\n".join(path.read_text() for path in (TOP / "src").glob("**/*.[ch]"))
    words = set(re.findall(r"\w+", sources))
    missing = []
    for name in re.findall(r"\b(?:[a-z]+/)+\w+\.(?:py|[ch])\b", text):
        if not ((TOP / "src" / name).exists() or (TOP / name).exists()):
            missing.append(name)
    for code in re.findall(r"`([^`]+)`", text):
        if re.fullmatch(r"(struct )?\w+(->\w+| -> \w+)*", code):
            missing += [name for name in re.split(r" ?-> ?|struct ", code)
                        if name and name not in words]
    assert not missing, missing


def test_what_it_names_with_its_file_is_in_that_file():
    text = (TOP / "docs/ARCHITECTURE.md").read_text()
    found = re.findall(r"`(?:struct )?(\w+)`((?:(?:,| and)\s+`\w+`)*)\s+\(([a-z]+/\w+\.[ch])\b", text)
    assert len(found) > 10
    for name, more, path in found:
        words = set(re.findall(r"\w+", (TOP / "src" / path).read_text()))
        for one in [name, *re.findall(r"`(\w+)`", more)]:
            assert one in words, "%s is not in %s" % (one, path)
