#include "cli/fetch_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/url.h"
#include "base/utf8.h"

enum { EXTENSION_BYTES = 12, NUMBERED = 9 };

/* The size of the character at the front, 0 when it is none or one that no name should have. */
static size_t good_character(struct span text)
{
    uint32_t code;
    size_t size = utf8_take(text, &code);

    if (size == 0)
        return 0;
    if (code < 0x80)
        return code < 0x20 || code == 0x7f || strchr("/\\<>:\"|?*", (int)code) ? 0 : size;
    // C1 controls, marks and overrides of direction, line and paragraph ends, joiners, byte order
    if (code < 0xa0 || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
        (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code & 0xfffe) == 0xfffe ||
        code == 0x061c || code == 0xad)
        return 0;
    return size;
}

static size_t clean(char *to, struct span from)
{
    size_t size = 0;

    while (from.size) {
        size_t good = good_character(from);

        if (good) {
            memcpy(to + size, from.at, good);
            size += good;
        } else {
            to[size++] = '_';
            good = 1;
        }
        from = span_from(from, good);
    }
    return size;
}

/* Where the extension begins (".html", ".tar.gz"), or name.size. */
static size_t find_extension(struct span name)
{
    size_t at = name.size;

    for (size_t i = name.size; i > 1 && name.size - i < EXTENSION_BYTES;) {
        char c = name.at[--i];
        if (c == '.') {
            at = i;
            if (!span_ends_nocase(span_slice(name, 0, i), SPAN(".tar")))
                break;
            at = i - 4 > 0 ? i - 4 : i;
            break;
        }
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9'))
            break;
    }
    return at;
}

/* Names of devices on some systems, with any extension. */
static bool is_device(struct span name)
{
    static const char *const devices[] = { "con", "prn", "aux", "nul", "conin$", "conout$" };
    struct span stem = span_slice(name, 0, span_find_byte(name, '.'));

    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (span_equal_nocase(stem, span_text(devices[i])))
            return true;
    return stem.size == 4 && stem.at[3] >= '0' && stem.at[3] <= '9' &&
           (span_starts_nocase(stem, SPAN("com")) || span_starts_nocase(stem, SPAN("lpt")));
}

static size_t shorten(char *name, size_t size, uint64_t hash)
{
    size_t extension = find_extension(span_of(name, size)), tail = size - extension, keep;
    char end[EXTENSION_BYTES + 24];

    if (size <= FETCH_NAME_BYTES)
        return size;
    if (tail >= sizeof end - 20)
        tail = 0;
    snprintf(end, sizeof end, "-%016llx%.*s", (unsigned long long)hash, (int)tail,
             name + size - tail);
    keep = FETCH_NAME_BYTES - strlen(end);
    while (keep && ((unsigned char)name[keep] & 0xc0) == 0x80) // not inside a letter
        keep--;
    memcpy(name + keep, end, strlen(end));
    return keep + strlen(end);
}

size_t fetch_name_of(char to[FETCH_NAME_ROOM], struct span text)
{
    size_t end = span_find_byte(text, '?'), slash = end, size, extension;
    struct span query = end < text.size ? span_from(text, end + 1) : SPAN_NONE;
    // With the query, and a mark before it and before the whole.
    char *decoded = malloc(text.size + 1), *name = malloc(text.size + 16);

    if (!decoded || !name)
        abort(); // out of memory ends the process
    while (slash && text.at[slash - 1] != '/')
        slash--;
    memcpy(decoded, text.at + slash, end - slash);
    size = url_decode(span_of(decoded, end - slash), decoded);
    size = clean(name + 1, span_of(decoded, size));
    if (size == 0) {
        memcpy(name + 1, "index", 5);
        size = 5;
    }
    if (query.size) { // in front of the extension
        char tail[EXTENSION_BYTES + 8];
        size_t tail_size, query_size;

        extension = find_extension(span_of(name + 1, size));
        tail_size = size - extension;
        memcpy(tail, name + 1 + extension, tail_size);
        name[1 + extension] = '_';
        memcpy(decoded, query.at, query.size);
        query_size = clean(name + 2 + extension,
                           span_of(decoded, url_decode(span_of(decoded, query.size), decoded)));
        memcpy(name + 2 + extension + query_size, tail, tail_size);
        size += 1 + query_size;
    }
    if (strchr(".-~ ", name[1]))
        name[1] = '_';
    if (strchr(". ", name[size]))
        name[size] = '_';
    name[0] = '_';
    if (is_device(span_of(name + 1, size)))
        size++;
    else
        memmove(name, name + 1, size);
    size = shorten(name, size, XXH3_64bits(text.at, text.size));
    memcpy(to, name, size);
    to[size] = '\0';
    free(decoded);
    free(name);
    return size;
}

void fetch_name_try(char to[FETCH_NAME_ROOM], const char *name, unsigned number, struct span url)
{
    size_t extension = find_extension(span_text(name));
    uint64_t hash = XXH3_64bits(url.at, url.size);

    if (number == 0)
        snprintf(to, FETCH_NAME_ROOM, "%s", name);
    else if (number < NUMBERED)
        snprintf(to, FETCH_NAME_ROOM, "%.*s-%u%s", (int)extension, name, number + 1,
                 name + extension);
    else if (number == NUMBERED)
        snprintf(to, FETCH_NAME_ROOM, "%.*s-%016llx%s", (int)extension, name,
                 (unsigned long long)hash, name + extension);
    else
        snprintf(to, FETCH_NAME_ROOM, "%.*s-%016llx-%u%s", (int)extension, name,
                 (unsigned long long)hash, number - NUMBERED + 1, name + extension);
}
