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
