#include "proxy/kind.h"

#include <stdlib.h>

#include "base/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- types ---- */

struct word_type {
    const char *word;
    enum request_type type;
};

/* Fetch, section "destination type": Sec-Fetch-Dest's values. */
static const struct word_type destinations[] = {
    { "document", TYPE_DOCUMENT },
    { "iframe", TYPE_SUBDOCUMENT },
    { "frame", TYPE_SUBDOCUMENT },
    { "fencedframe", TYPE_SUBDOCUMENT },
    { "script", TYPE_SCRIPT },
    { "worker", TYPE_SCRIPT },
    { "sharedworker", TYPE_SCRIPT },
    { "serviceworker", TYPE_SCRIPT },
    { "audioworklet", TYPE_SCRIPT },
    { "paintworklet", TYPE_SCRIPT },
    { "style", TYPE_STYLESHEET },
    { "xslt", TYPE_STYLESHEET },
    { "image", TYPE_IMAGE },
    { "font", TYPE_FONT },
    { "audio", TYPE_MEDIA },
    { "video", TYPE_MEDIA },
    { "track", TYPE_MEDIA },
    { "object", TYPE_OBJECT },
    { "embed", TYPE_OBJECT },
    { "empty", TYPE_XHR },
    { "json", TYPE_XHR },
    { "websocket", TYPE_WEBSOCKET },
    { "report", TYPE_PING },
    { "manifest", TYPE_OTHER },
};

static const struct word_type extensions[] = {
    { "js", TYPE_SCRIPT },      { "mjs", TYPE_SCRIPT }, { "cjs", TYPE_SCRIPT },
    { "css", TYPE_STYLESHEET }, { "gif", TYPE_IMAGE },  { "png", TYPE_IMAGE },
    { "jpg", TYPE_IMAGE },      { "jpeg", TYPE_IMAGE }, { "jfif", TYPE_IMAGE },
    { "webp", TYPE_IMAGE },     { "avif", TYPE_IMAGE }, { "svg", TYPE_IMAGE },
    { "ico", TYPE_IMAGE },      { "bmp", TYPE_IMAGE },  { "apng", TYPE_IMAGE },
    { "woff", TYPE_FONT },      { "woff2", TYPE_FONT }, { "ttf", TYPE_FONT },
    { "otf", TYPE_FONT },       { "eot", TYPE_FONT },   { "mp4", TYPE_MEDIA },
    { "webm", TYPE_MEDIA },     { "m4v", TYPE_MEDIA },  { "mp3", TYPE_MEDIA },
    { "m4a", TYPE_MEDIA },      { "ogg", TYPE_MEDIA },  { "ogv", TYPE_MEDIA },
    { "oga", TYPE_MEDIA },      { "opus", TYPE_MEDIA }, { "wav", TYPE_MEDIA },
    { "flac", TYPE_MEDIA },     { "aac", TYPE_MEDIA },  { "m3u8", TYPE_MEDIA },
    { "mpd", TYPE_MEDIA },      { "ts", TYPE_MEDIA },   { "m4s", TYPE_MEDIA },
    { "mov", TYPE_MEDIA },      { "vtt", TYPE_MEDIA },  { "swf", TYPE_OBJECT },
    { "json", TYPE_XHR },
};

/* Media types, the longest telling prefix first. */
static const struct word_type media_types[] = {
    { "text/css", TYPE_STYLESHEET },
    { "text/javascript", TYPE_SCRIPT },
    { "application/javascript", TYPE_SCRIPT },
    { "application/x-javascript", TYPE_SCRIPT },
    { "application/ecmascript", TYPE_SCRIPT },
    { "image/", TYPE_IMAGE },
    { "font/", TYPE_FONT },
    { "application/font", TYPE_FONT },
    { "application/x-font", TYPE_FONT },
    { "application/vnd.ms-fontobject", TYPE_FONT },
    { "audio/", TYPE_MEDIA },
    { "video/", TYPE_MEDIA },
    { "application/vnd.apple.mpegurl", TYPE_MEDIA },
    { "application/dash+xml", TYPE_MEDIA },
    { "application/x-shockwave-flash", TYPE_OBJECT },
    { "application/json", TYPE_XHR },
    { "text/event-stream", TYPE_XHR },
    { "text/html", TYPE_SUBDOCUMENT },
};

static bool by_prefix(const struct word_type *rows, size_t count, struct span text,
                      enum request_type *type)
{
    for (size_t i = 0; i < count; i++)
        if (span_starts_nocase(text, span_text(rows[i].word))) {
            *type = rows[i].type;
            return true;
        }
    return false;
}

static bool by_word(const struct word_type *rows, size_t count, struct span word,
                    enum request_type *type)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal_nocase(word, span_text(rows[i].word))) {
            *type = rows[i].type;
            return true;
        }
    return false;
}

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static bool by_extension(struct span path, enum request_type *type)
{
    size_t dot;

    path.size = span_find_byte(path, '?');
    path.size = span_find_byte(path, ';');
    for (dot = path.size; dot > 0 && path.at[dot - 1] != '.'; dot--)
        if (path.at[dot - 1] == '/' || path.size - dot > 5)
            return false;
    return dot > 0 && by_word(extensions, COUNT(extensions), span_from(path, dot), type);
}

/* The first element of Accept tells what an element asked for; scripts, fetch() and many others
 * say only that they take anything. */
static bool by_accept(const struct message *request, enum request_type *type)
{
    struct span accept = message_value(request, FIELD_ACCEPT), first;

    if (!accept.at || !span_next_element(&accept, &first) || span_starts(first, SPAN("*/*")))
        return false;
    if (span_starts_nocase(first, SPAN("text/html")) ||
        span_starts_nocase(first, SPAN("application/xhtml"))) {
        *type = TYPE_DOCUMENT; // a page or a frame: only Sec-Fetch-Dest knows
        return true;
    }
    return by_prefix(media_types, COUNT(media_types), first, type);
}

struct kind kind_of_request(const struct message *request, struct span path)
{
    struct kind kind = { .type = TYPE_OTHER, .is_guess = false };
    struct span dest = message_value(request, FIELD_SEC_FETCH_DEST);
    struct span content_type = message_value(request, FIELD_CONTENT_TYPE);
    const struct field *upgrade = message_find(request, FIELD_UPGRADE);

    if (upgrade && span_equal_nocase(upgrade->value, SPAN("websocket")))
        kind.type = TYPE_WEBSOCKET;
    else if (message_find_name(request, SPAN("Ping-To")) ||
             span_equal_nocase(content_type, SPAN("text/ping")))
        kind.type = TYPE_PING;
    else if (dest.at && by_word(destinations, COUNT(destinations), dest, &kind.type))
        ;
    else if (by_accept(request, &kind.type))
        ;
    else if (message_find_name(request, SPAN("X-Requested-With")))
        kind.type = TYPE_XHR;
    else if (by_extension(path, &kind.type))
        ;
    else if (!method_is_safe(request->method) || message_find(request, FIELD_ORIGIN))
        kind.type = TYPE_XHR; // forms are pages and say so in Accept
    else
        kind.is_guess = true;
    return kind;
}

enum request_type kind_of_response(struct span content_type)
{
    enum request_type type = TYPE_OTHER;

    by_prefix(media_types, COUNT(media_types), content_type, &type);
    return type == TYPE_SUBDOCUMENT ? TYPE_OTHER : type; // pages were told by Accept before
}

/* ---- sources ---- */

struct kind_source kind_source_of(const struct message *request, const struct target *target,
                                  enum request_type type)
{
    struct kind_source source = { SPAN_NONE, KIND_PARTY_UNKNOWN };
    struct span site = message_value(request, FIELD_SEC_FETCH_SITE);
    struct span referer, origin;

    if (span_equal_nocase(site, SPAN("same-origin")) || span_equal_nocase(site, SPAN("same-site")))
        source.party = KIND_PARTY_FIRST;
    else if (span_equal_nocase(site, SPAN("cross-site")))
        source.party = KIND_PARTY_THIRD;
    if (type == TYPE_DOCUMENT)
        return source; // a navigation has no source
    referer = message_value(request, FIELD_REFERER);
    origin = message_value(request, FIELD_ORIGIN);
    if (span_starts_nocase(referer, SPAN("http")))
        source.page = referer;
    else if (span_starts_nocase(origin, SPAN("http")))
        source.page = origin;
    else if (span_equal_nocase(site, SPAN("same-origin")))
        source.page = target->host;
    return source;
}

/* ---- pages behind style sheets and frames ---- */

enum { PAGE_BYTES = 256 };

struct load {
    struct table_node node; // first
    uint64_t key[2];        // of client and URL
    uint64_t until_ms;
    bool is_used;
    size_t page_size;
    char page[PAGE_BYTES];
};

struct kind_memory {
    struct table table;
    size_t next; // the ring's oldest
    struct load loads[KIND_MEMORY_LOADS];
};

struct kind_memory *kind_memory_new(void)
{
    struct kind_memory *memory = calloc(1, sizeof *memory);

    if (!memory)
        abort(); // out of memory ends the worker; the master starts another
    table_init(&memory->table);
    return memory;
}

void kind_memory_free(struct kind_memory **memory)
{
    if (!*memory)
        return;
    table_done(&(*memory)->table);
    free(*memory);
    *memory = NULL;
}

static bool has_key(const struct table_node *node, const void *key)
{
    return memcmp(((const struct load *)node)->key, key, sizeof((struct load *)0)->key) == 0;
}

static void key_of(const struct kind_memory *memory, const struct address *client, struct span url,
                   uint64_t key[2])
{
    struct address plain = address_unwrap(client);
    size_t size =
        plain.any.sa_family == AF_INET6 ? sizeof plain.v6.sin6_addr : sizeof plain.v4.sin_addr;
    const char *at =
        plain.any.sa_family == AF_INET6 ? (char *)&plain.v6.sin6_addr : (char *)&plain.v4.sin_addr;
    XXH128_hash_t hash;

    url.size = span_find_byte(url, '#');
    hash = XXH3_128bits_withSeed(url.at, url.size,
                                 memory->table.secret ^
                                     XXH3_64bits_withSeed(at, size, memory->table.secret));
    key[0] = hash.low64;
    key[1] = hash.high64;
}

void kind_memory_keep(struct kind_memory *memory, const struct address *client, struct span url,
                      struct span page, uint64_t now_ms)
{
    uint64_t key[2];
    struct load *load;

    if (page.size > PAGE_BYTES) { // the host is enough
        size_t end = span_find(page, SPAN("://"));
        end = end < page.size ? end + 3 : 0;
        page.size = end + span_find_byte(span_from(page, end), '/');
        if (page.size > PAGE_BYTES)
            return;
    }
    key_of(memory, client, url, key);
    load = (struct load *)table_find(&memory->table, key[0], has_key, key);
    if (!load) {
        load = &memory->loads[memory->next++ % KIND_MEMORY_LOADS];
        if (load->is_used)
            table_remove(&memory->table, &load->node);
        memcpy(load->key, key, sizeof key);
        load->is_used = true;
        table_add(&memory->table, &load->node, key[0]);
    }
    memcpy(load->page, page.at, page.size);
    load->page_size = page.size;
    load->until_ms = now_ms + KIND_MEMORY_MS;
}

struct span kind_memory_find(const struct kind_memory *memory, const struct address *client,
                             struct span referer, uint64_t now_ms)
{
    uint64_t key[2];
    const struct load *load;

    key_of(memory, client, referer, key);
    load = (const struct load *)table_find(&memory->table, key[0], has_key, key);
    return load && load->until_ms > now_ms ? span_of(load->page, load->page_size) : SPAN_NONE;
}
