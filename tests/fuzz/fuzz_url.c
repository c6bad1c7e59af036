/* A URL, folded and cut by vectors: what the slow way, byte by byte, says of it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_run_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Its text is the one that came, in lower case, without user information. */
static void check_text(const struct url *url, struct span text)
{
    for (uint32_t i = 0; i < url->size; i++) {
        char came = text.at[i < url->host_at ? i : i + url->left_out];
        bool is_start = is_run_byte(url->at[i]) && (i == 0 || !is_run_byte(url->at[i - 1]));

        assert(url->at[i] == ascii_lower(came));
        assert((url->starts[i / 64] >> i % 64 & 1) == is_start);
    }
    for (uint32_t i = 0; i < 16; i++)
        assert(url->at[url->size + i] == 0);
    if (url->size % 64) // no starts behind the end
        assert(url->starts[url->size / 64] >> url->size % 64 == 0);
}

static void check_parts(const struct url *url)
{
    struct span host = url_host(url);
    uint32_t path = url_path_at(url);

    assert(url->host_at >= 4 && memcmp(url->at + url->host_at - 3, "://", 3) == 0);
    assert(host.size > 0 && host.size <= URL_HOST_LIMIT);
    assert(url->host_end <= url->size && url->name_end <= url->host_end &&
           url->host_end - url->name_end <= 1);
    assert(path >= url->host_end && path <= url->size);
    assert(path == url->size || strchr("/?#\\", url->at[path]));
    for (uint32_t i = 0; i < host.size && i < 64; i++)
        assert((url->dots >> i & 1) == (host.at[i] == '.'));
    (void)url_port(url);
    (void)url_host_is_address(host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct url_text room;
    static struct url_host_text host_room;
    struct span text = span_of((const char *)data, size), host;
    char *copy = malloc(size + 1), ascii[64];
    struct url_name name;
    struct url url;
    bool is_ascii = true;
    size_t decoded;

    assert(copy);
    if (memchr(data, 0, size)) { // no HTTP message has one
        free(copy);
        return 0;
    }
    host = url_find_host(text);
    if (host.size == 0) // or it is longer than its A-labels may be
        for (size_t i = 0; i < size; i++)
            is_ascii = is_ascii && data[i] < 128;
    for (size_t i = 0; i < host.size; i++)
        is_ascii = is_ascii && (uint8_t)host.at[i] < 128;
    if (url_parse(&url, &room, text)) {
        if (is_ascii)
            check_text(&url, text);
        check_parts(&url);
        assert(!is_ascii || host.size == url_host(&url).size);
        for (size_t i = 0; is_ascii && i < host.size; i++)
            assert(ascii_lower(host.at[i]) == url_host(&url).at[i]);
    }
    url_parse_host(&name, &host_room, text);
    assert(!is_ascii || name.size == host.size);
    for (size_t i = 0; is_ascii && i < host.size; i++) {
        assert(name.at[i] == ascii_lower(host.at[i]));
        assert(i >= 64 || (name.dots >> i & 1) == (host.at[i] == '.'));
    }
    if (size)
        memcpy(copy, data, size);
    decoded = url_decode(text, copy);
    assert(decoded <= size);
    assert(url_host_to_ascii(text, ascii, sizeof ascii) <= sizeof ascii);
    free(copy);
    return 0;
}
