#include "trust/hello.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "trust/wire.h"

enum {
    RECORD_HEADER_BYTES = 5,
    RECORD_HANDSHAKE = 22,
    RECORD_LIMIT_BYTES = 16384,
    MESSAGE_HEADER_BYTES = 4,
    MESSAGE_CLIENT_HELLO = 1,
};

enum { // extensions, as IANA numbers them
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_GROUPS = 10,
    EXTENSION_SIGNATURES = 13,
    EXTENSION_PROTOCOLS = 16,
    EXTENSION_PADDING = 21,
    EXTENSION_TICKET = 35,
    EXTENSION_PSK = 41,
    EXTENSION_EARLY_DATA = 42,
    EXTENSION_VERSIONS = 43,
    EXTENSION_COOKIE = 44,
    EXTENSION_APPLICATION_SETTINGS = 17513,
    EXTENSION_APPLICATION_SETTINGS_NEW = 17613,
    EXTENSION_ECH = 0xfe0d,
};

/* What one program sends in some of its hellos and not in others. */
static const uint16_t changing_extensions[] = {
    EXTENSION_SERVER_NAME,
    EXTENSION_PROTOCOLS,
    EXTENSION_PADDING,
    EXTENSION_PSK,
    EXTENSION_EARLY_DATA,
    EXTENSION_COOKIE,
    EXTENSION_TICKET,
    EXTENSION_APPLICATION_SETTINGS,
    EXTENSION_APPLICATION_SETTINGS_NEW,
};

enum { CIPHER_FALLBACK = 0x5600 }; // only when an earlier attempt failed

static const char *const methods[] = {
    "GET ",         "HEAD ",       "POST ",     "PUT ",     "DELETE ",
    "OPTIONS ",     "PATCH ",      "TRACE ",    "CONNECT ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PROPFIND ",    "PROPPATCH ",  "MKCOL ",    "COPY ",    "MOVE ",
    "LOCK ",        "UNLOCK ",     "REPORT ",   "SEARCH ",  "MERGE ",
    "PURGE ",       "QUERY ",      "M-SEARCH ", "NOTIFY ",  "SUBSCRIBE ",
    "UNSUBSCRIBE ", "MKACTIVITY ", "CHECKOUT ", "BIND ",    "UNBIND ",
    "REBIND ",      "ACL ",        "LINK ",     "UNLINK ",  "MKCALENDAR ",
    "SOURCE ",
};

enum hello_kind hello_classify(struct span first)
{
    bool may_become = false;

    if (first.size == 0)
        return HELLO_KIND_MORE;
    if (first.at[0] == RECORD_HANDSHAKE)
        return HELLO_KIND_TLS;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct span method = span_text(methods[i]);

        if (span_starts(first, method))
            return HELLO_KIND_HTTP;
        if (span_starts(method, first))
            may_become = true;
    }
    return may_become ? HELLO_KIND_MORE : HELLO_KIND_OTHER;
}

static uint16_t number_at(struct span words, size_t index)
{
    return (uint16_t)((unsigned char)words.at[2 * index] << 8 |
                      (unsigned char)words.at[2 * index + 1]);
}

/* RFC 8701: 0x0a0a, 0x1a1a ... 0xfafa. */
static bool is_grease(uint16_t number)
{
    return (number & 0x0f0f) == 0x0a0a && number >> 8 == (number & 0xff);
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* RFC 6066 section 3: a list of names with a type each; only type 0, a host name, exists. */
static bool read_server_name(struct hello *hello, struct span body)
{
    struct wire reader = { .left = body };
    struct wire list = { .left = wire_vector(&reader, 2) };
    struct span name;

    if (reader.is_short || reader.left.size)
        return false;
    if (wire_number(&list, 1) != 0)
        return false;
    name = wire_vector(&list, 2);
    if (list.is_short || list.left.size)
        return false;
    if (name.size && name.at[name.size - 1] == '.')
        name.size--;
    if (name.size == 0 || name.size >= sizeof hello->server_name)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = ascii_lower(name.at[i]);

        if (!is_name_byte(c))
            return false;
        hello->server_name[i] = c;
    }
    hello->server_name[name.size] = '\0';
    return true;
}

/* RFC 7301 section 3.1. */
static bool read_protocols(struct hello *hello, struct span body)
{
    struct wire reader = { .left = body };
    struct span list = wire_vector(&reader, 2);
    struct wire names = { .left = list };

    if (reader.is_short || reader.left.size || list.size == 0)
        return false;
    while (names.left.size)
        if (wire_vector(&names, 1).size == 0)
            return false;
    hello->protocols = list;
    return !names.is_short;
}

/* A list of two-byte numbers behind a length of `width` bytes. */
static bool read_numbers(struct span *out, struct span body, size_t width)
{
    struct wire reader = { .left = body };
    struct span list = wire_vector(&reader, width);

    if (reader.is_short || reader.left.size || list.size == 0 || list.size % 2)
        return false;
    *out = list;
    return true;
}

static bool read_versions(struct hello *hello, struct span body)
{
    struct span list;

    if (!read_numbers(&list, body, 1))
        return false;
    hello->version = 0;
    for (size_t i = 0; i < list.size / 2; i++) {
        uint16_t version = number_at(list, i);

        if (!is_grease(version) && version >> 8 == 3 && version > hello->version)
            hello->version = version;
    }
    return true;
}

static bool read_extension(struct hello *hello, uint16_t type, struct span body)
{
    switch (type) {
    case EXTENSION_SERVER_NAME:
        return read_server_name(hello, body);
    case EXTENSION_PROTOCOLS:
        return read_protocols(hello, body);
    case EXTENSION_GROUPS:
        return read_numbers(&hello->groups, body, 2);
    case EXTENSION_SIGNATURES:
        return read_numbers(&hello->signatures, body, 2);
    case EXTENSION_VERSIONS:
        return read_versions(hello, body);
    case EXTENSION_TICKET:
        hello->has_session |= body.size > 0;
        return true;
    case EXTENSION_PSK:
        hello->has_session = true;
        return true;
    case EXTENSION_ECH:
        hello->has_ech = true;
        return true;
    default:
        return true;
    }
}

/* Hashes numbers in pieces, so that no list's length needs memory. */
struct number_hash {
    uint64_t value;
    size_t count;
    uint16_t piece[64];
};

static void hash_flush(struct number_hash *hash)
{
    hash->value = XXH3_64bits_withSeed(hash->piece, hash->count * sizeof *hash->piece, hash->value);
    hash->count = 0;
}

static void hash_number(struct number_hash *hash, uint16_t number)
{
    hash->piece[hash->count++] = number;
    if (hash->count == sizeof hash->piece / sizeof *hash->piece)
        hash_flush(hash);
}

static void hash_list(struct number_hash *hash, struct span list)
{
    for (size_t i = 0; i < list.size / 2; i++) {
        uint16_t number = number_at(list, i);

        if (!is_grease(number) && number != CIPHER_FALLBACK)
            hash_number(hash, number);
    }
    hash_flush(hash);
}

static bool is_changing(uint16_t type)
{
    for (size_t i = 0; i < sizeof changing_extensions / sizeof *changing_extensions; i++)
        if (changing_extensions[i] == type)
            return true;
    return is_grease(type);
}

static uint64_t family_of(const struct hello *hello, const uint16_t *types, size_t count)
{
    struct number_hash hash = { 0 };

    hash_number(&hash, hello->version);
    hash_list(&hash, hello->ciphers);
    for (size_t i = 0; i < count; i++)
        if (!is_changing(types[i]))
            hash_number(&hash, types[i]);
    hash_flush(&hash);
    hash_list(&hash, hello->signatures);
    return hash.value ? hash.value : 1;
}

static int compare_types(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static enum error_kind parse_extensions(struct hello *hello, struct wire *reader,
                                        struct error *error)
{
    uint16_t types[HELLO_EXTENSIONS];
    size_t count = 0;

    while (reader->left.size) {
        uint16_t type = (uint16_t)wire_number(reader, 2);
        struct span body = wire_vector(reader, 2);

        if (reader->is_short)
            return error_set(error, ERROR_SYNTAX, "the TLS hello's extensions are cut short");
        if (count == HELLO_EXTENSIONS)
            return error_set(error, ERROR_LIMIT, "more than %d extensions in the TLS hello",
                             HELLO_EXTENSIONS);
        types[count++] = type;
        if (!read_extension(hello, type, body))
            return error_set(error, ERROR_SYNTAX, "extension %u of the TLS hello is malformed",
                             (unsigned)type);
    }
    qsort(types, count, sizeof *types, compare_types);
    for (size_t i = 1; i < count; i++)
        if (types[i] == types[i - 1])
            return error_set(error, ERROR_SYNTAX, "extension %u stands twice in the TLS hello",
                             (unsigned)types[i]);
    hello->family = family_of(hello, types, count);
    return ERROR_NONE;
}

/* The body of a ClientHello, without its header. */
static enum error_kind parse(struct hello *hello, struct span body, struct error *error)
{
    struct wire reader = { .left = body }, extensions;
    struct span session, compressions;

    *hello = (struct hello){ .version = (uint16_t)wire_number(&reader, 2) };
    wire_take(&reader, 32); // random
    session = wire_vector(&reader, 1);
    hello->ciphers = wire_vector(&reader, 2);
    compressions = wire_vector(&reader, 1);
    if (reader.is_short || session.size > 32 || hello->ciphers.size == 0 ||
        hello->ciphers.size % 2 || compressions.size == 0 || hello->version >> 8 != 3)
        return error_set(error, ERROR_SYNTAX, "the TLS hello is malformed");
    extensions = (struct wire){ .left = SPAN_NONE };
    if (reader.left.size) {
        extensions.left = wire_vector(&reader, 2);
        if (reader.is_short || reader.left.size)
            return error_set(error, ERROR_SYNTAX, "the TLS hello's extensions are cut short");
    }
    return parse_extensions(hello, &extensions, error);
}

bool hello_offers(const struct hello *hello, struct span protocol)
{
    struct wire names = { .left = hello->protocols };

    while (names.left.size)
        if (span_equal(wire_vector(&names, 1), protocol))
            return true;
    return false;
}

void hello_collector_init(struct hello_collector *collector)
{
    *collector = (struct hello_collector){
        .kept.limit_bytes = HELLO_LIMIT_BYTES,
        .message.limit_bytes = HELLO_LIMIT_BYTES,
    };
}

void hello_collector_done(struct hello_collector *collector)
{
    buffer_release(&collector->kept);
    buffer_release(&collector->message);
}

size_t hello_room(const struct hello_collector *collector)
{
    return HELLO_LIMIT_BYTES - collector->kept.size;
}

/* How long the message is with its header, or 0 while that is not known. */
static size_t message_size(const struct hello_collector *collector)
{
    struct wire reader = { .left = buffer_span(&collector->message) };

    wire_take(&reader, 1);
    return reader.left.size >= 3 ? MESSAGE_HEADER_BYTES + wire_number(&reader, 3) : 0;
}

/* Moves the next record's payload into the message. */
static enum error_kind take_record(struct hello_collector *collector, bool *taken,
                                   struct error *error)
{
    struct wire reader = { .left =
                               span_from(buffer_span(&collector->kept), collector->next_record) };
    size_t type = wire_number(&reader, 1), major = wire_number(&reader, 1), size;

    *taken = false;
    if (!reader.is_short && (type != RECORD_HANDSHAKE || major != 3))
        return error_set(error, ERROR_SYNTAX, "not a TLS handshake record");
    wire_take(&reader, 1);
    size = wire_number(&reader, 2);
    if (reader.is_short)
        return ERROR_NONE;
    if (size == 0 || size > RECORD_LIMIT_BYTES)
        return error_set(error, ERROR_SYNTAX, "a TLS record of %zu bytes", size);
    if (reader.left.size < size)
        return ERROR_NONE;
    // What is kept is within the same limit, so the message is too.
    if (!buffer_append(&collector->message, wire_take(&reader, size)))
        assert(false);
    collector->next_record += RECORD_HEADER_BYTES + size;
    *taken = true;
    return ERROR_NONE;
}

static enum error_kind read_on(struct hello_collector *collector, struct error *error)
{
    bool taken = true;

    while (taken) {
        struct buffer *message = &collector->message;
        enum error_kind kind;
        size_t whole;

        if (message->size && message->at[0] != MESSAGE_CLIENT_HELLO)
            return error_set(error, ERROR_SYNTAX, "the first TLS message is no hello");
        whole = message_size(collector);
        if (whole > HELLO_LIMIT_BYTES)
            return error_set(error, ERROR_LIMIT, "a TLS hello of %zu bytes", whole);
        if (whole && message->size > whole)
            return error_set(error, ERROR_SYNTAX, "bytes behind the TLS hello in its record");
        if (whole && message->size == whole) {
            kind = parse(&collector->hello, span_from(buffer_span(message), MESSAGE_HEADER_BYTES),
                         error);
            if (kind)
                collector->hello = (struct hello){ 0 }; // nothing half read is shown
            else
                collector->progress = HELLO_WHOLE;
            return kind;
        }
        kind = take_record(collector, &taken, error);
        if (kind)
            return kind;
    }
    if (hello_room(collector) == 0)
        return error_set(error, ERROR_LIMIT, "no TLS hello within %d bytes", HELLO_LIMIT_BYTES);
    return ERROR_NONE;
}

enum hello_progress hello_feed(struct hello_collector *collector, struct span bytes,
                               struct error *error)
{
    if (!buffer_append(&collector->kept, bytes)) {
        error_set(error, ERROR_LIMIT, "no TLS hello within %d bytes", HELLO_LIMIT_BYTES);
        if (collector->progress == HELLO_MORE)
            collector->progress = HELLO_BROKEN;
        return collector->progress;
    }
    if (collector->progress == HELLO_MORE && read_on(collector, error))
        collector->progress = HELLO_BROKEN;
    return collector->progress;
}

/* ---- for later ---- */

struct hello *hello_copy(const struct hello *hello)
{
    size_t ciphers =
        hello->ciphers.size < HELLO_COPY_BYTES ? hello->ciphers.size : HELLO_COPY_BYTES;
    size_t groups = hello->groups.size < HELLO_COPY_BYTES ? hello->groups.size : HELLO_COPY_BYTES;
    struct hello *copy = calloc(1, sizeof *copy + ciphers + groups);
    char *at = (char *)(copy + 1);

    if (!copy)
        abort();
    copy->version = hello->version;
    copy->family = hello->family;
    copy->ciphers = span_of(at, ciphers);
    copy->groups = span_of(at + ciphers, groups);
    if (ciphers)
        memcpy(at, hello->ciphers.at, ciphers);
    if (groups)
        memcpy(at + ciphers, hello->groups.at, groups);
    return copy;
}
