#include "http/message.h"

#include <assert.h>

#include "http/octets.h"

static const struct span field_names[FIELDS] = {
#define FIELD_NAME(id, name) [FIELD_##id] = { name, sizeof(name) - 1 },
    FIELD_NAMES(FIELD_NAME)
#undef FIELD_NAME
};

/* Their ids by length, so that a look-up compares with a handful. test_message checks that every
 * name finds itself. */
enum { LONGEST_NAME = 25, SAME_LENGTH = 7 };
static const uint8_t names_by_length[LONGEST_NAME + 1][SAME_LENGTH + 1] = {
    [2] = { FIELD_TE },
    [3] = { FIELD_VIA, FIELD_AGE },
    [4] = { FIELD_HOST, FIELD_DATE, FIELD_ETAG, FIELD_VARY },
    [5] = { FIELD_RANGE },
    [6] = { FIELD_ACCEPT, FIELD_COOKIE, FIELD_SERVER, FIELD_ORIGIN, FIELD_PRAGMA, FIELD_EXPECT,
            FIELD_DIGEST },
    [7] = { FIELD_REFERER, FIELD_UPGRADE, FIELD_ALT_SVC, FIELD_TRAILER, FIELD_SEC_GPC },
    [8] = { FIELD_LOCATION, FIELD_IF_RANGE, FIELD_IF_MATCH },
    [10] = { FIELD_CONNECTION, FIELD_USER_AGENT, FIELD_SET_COOKIE, FIELD_KEEP_ALIVE },
    [12] = { FIELD_CONTENT_TYPE, FIELD_MAX_FORWARDS },
    [13] = { FIELD_CACHE_CONTROL, FIELD_LAST_MODIFIED, FIELD_ACCEPT_RANGES, FIELD_IF_NONE_MATCH,
             FIELD_AUTHORIZATION, FIELD_CONTENT_RANGE },
    [14] = { FIELD_CONTENT_LENGTH, FIELD_SEC_FETCH_DEST, FIELD_SEC_FETCH_MODE, FIELD_SEC_FETCH_SITE,
             FIELD_SEC_FETCH_USER, FIELD_HTTP2_SETTINGS },
    [15] = { FIELD_ACCEPT_ENCODING, FIELD_REFERRER_POLICY },
    [16] = { FIELD_CONTENT_ENCODING, FIELD_PROXY_CONNECTION, FIELD_WWW_AUTHENTICATE },
    [17] = { FIELD_TRANSFER_ENCODING, FIELD_IF_MODIFIED_SINCE },
    [18] = { FIELD_PROXY_AUTHENTICATE, FIELD_PERMISSIONS_POLICY },
    [19] = { FIELD_CONTENT_DISPOSITION, FIELD_PROXY_AUTHORIZATION },
    [23] = { FIELD_CONTENT_SECURITY_POLICY },
    [25] = { FIELD_PROXY_AUTHENTICATION_INFO },
};

void message_init(struct message *message, struct arena *arena, bool is_request)
{
    *message = (struct message){ .arena = arena, .is_request = is_request, .version_minor = 1 };
}

static uint64_t load(const char *at, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, at, size);
    return word;
}

/* Without case, `known` being of letters, digits and '-', and `name` without controls: then two
 * bytes are the same when they are but for bit 5. Several bytes at a time, the last ones perhaps
 * twice. */
static bool is_name(const char *name, const char *known, size_t size)
{
    const uint64_t mask = 0xdfdfdfdfdfdfdfdf;
    uint64_t different = 0;

    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8)
            different |= load(name + i, 8) ^ load(known + i, 8);
        different |= load(name + size - 8, 8) ^ load(known + size - 8, 8);
    } else if (size >= 4) {
        different = (load(name, 4) ^ load(known, 4)) |
                    (load(name + size - 4, 4) ^ load(known + size - 4, 4));
    } else {
        for (size_t i = 0; i < size; i++)
            different |= load(name + i, 1) ^ load(known + i, 1);
    }
    return (different & mask) == 0;
}

enum field_id field_id_of(struct span name)
{
    const uint8_t *id;

    if (name.size > LONGEST_NAME)
        return FIELD_OTHER;
    for (id = names_by_length[name.size]; *id; id++)
        if (is_name(name.at, field_names[*id].at, name.size))
            return (enum field_id) * id;
    return FIELD_OTHER;
}

struct span field_id_name(enum field_id id)
{
    return (unsigned)id < FIELDS ? field_names[id] : field_names[FIELD_OTHER];
}

static const struct {
    struct span name;
    enum method method;
    bool is_safe, is_idempotent;
} methods[] = {
    { { "GET", 3 }, METHOD_GET, true, true },
    { { "POST", 4 }, METHOD_POST, false, false },
    { { "CONNECT", 7 }, METHOD_CONNECT, false, false },
    { { "HEAD", 4 }, METHOD_HEAD, true, true },
    { { "OPTIONS", 7 }, METHOD_OPTIONS, true, true },
    { { "PUT", 3 }, METHOD_PUT, false, true },
    { { "DELETE", 6 }, METHOD_DELETE, false, true },
    { { "PATCH", 5 }, METHOD_PATCH, false, false },
    { { "TRACE", 5 }, METHOD_TRACE, true, true },
};

enum method method_of(struct span name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (span_equal(methods[i].name, name))
            return methods[i].method;
    return METHOD_OTHER;
}

bool method_is_safe(enum method method)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].method == method)
            return methods[i].is_safe;
    return false;
}

bool method_is_idempotent(enum method method)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].method == method)
            return methods[i].is_idempotent;
    return false;
}

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 102, "Processing" },
    { 103, "Early Hints" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 203, "Non-Authoritative Information" },
    { 204, "No Content" },
    { 205, "Reset Content" },
    { 206, "Partial Content" },
    { 207, "Multi-Status" },
    { 208, "Already Reported" },
    { 226, "IM Used" },
    { 300, "Multiple Choices" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 305, "Use Proxy" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 402, "Payment Required" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 407, "Proxy Authentication Required" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 421, "Misdirected Request" },
    { 422, "Unprocessable Content" },
    { 423, "Locked" },
    { 424, "Failed Dependency" },
    { 425, "Too Early" },
    { 426, "Upgrade Required" },
    { 428, "Precondition Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 451, "Unavailable For Legal Reasons" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 506, "Variant Also Negotiates" },
    { 507, "Insufficient Storage" },
    { 508, "Loop Detected" },
    { 511, "Network Authentication Required" },
};

const char *status_phrase(unsigned status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "";
}

/* ---- fields ---- */

static bool add(struct arena *arena, struct field **fields, size_t *count, size_t *capacity,
                struct field field)
{
    if (*count >= MESSAGE_FIELDS)
        return false;
    if (*count == *capacity) {
        size_t wanted = *capacity ? *capacity * 2 : 24;
        struct field *grown = arena_alloc(arena, wanted * sizeof *grown);

        if (!grown)
            return false;
        if (*count)
            memcpy(grown, *fields, *count * sizeof *grown);
        *fields = grown;
        *capacity = wanted;
    }
    (*fields)[(*count)++] = field;
    return true;
}

bool message_add_parsed(struct message *message, struct field field)
{
    return add(message->arena, &message->fields, &message->field_count, &message->field_capacity,
               field);
}

static bool is_clean(struct span name, struct span value)
{
    return octets_are(name, OCTET_TOKEN) && octets_are_text(value);
}

bool message_add(struct message *message, struct span name, struct span value)
{
    struct field field = { name, span_trim(value), field_id_of(name), false };

    return is_clean(name, value) && message_add_parsed(message, field);
}

bool message_add_trailer(struct message *message, struct span name, struct span value)
{
    struct field field = { name, span_trim(value), field_id_of(name), false };

    return is_clean(name, value) && add(message->arena, &message->trailers, &message->trailer_count,
                                        &message->trailer_capacity, field);
}

static struct field *find_from(const struct message *message, size_t start, enum field_id id)
{
    for (size_t i = start; i < message->field_count; i++)
        if (message->fields[i].id == id && !message->fields[i].is_dropped)
            return &message->fields[i];
    return NULL;
}

struct field *message_find(const struct message *message, enum field_id id)
{
    return find_from(message, 0, id);
}

struct field *message_find_next(const struct message *message, const struct field *after)
{
    return find_from(message, (size_t)(after - message->fields) + 1, after->id);
}

struct field *message_find_name(const struct message *message, struct span name)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (!message->fields[i].is_dropped && span_equal_nocase(message->fields[i].name, name))
            return &message->fields[i];
    return NULL;
}

struct span message_value(const struct message *message, enum field_id id)
{
    const struct field *field = message_find(message, id);
    return field ? field->value : SPAN_NONE;
}

void message_drop(struct message *message, enum field_id id)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (message->fields[i].id == id)
            message->fields[i].is_dropped = true;
}

bool message_set(struct message *message, enum field_id id, struct span value)
{
    message_drop(message, id);
    return message_add(message, field_id_name(id), value);
}

bool message_next_token(struct span *list, struct span *element)
{
    while (list->size) {
        size_t comma = span_find_byte(*list, ',');

        *element = span_trim(span_slice(*list, 0, comma));
        *list = span_from(*list, comma + (comma < list->size));
        if (element->size)
            return true;
    }
    return false;
}

bool message_lists(const struct message *message, enum field_id id, struct span element)
{
    bool has_quotes = id != FIELD_CONNECTION && id != FIELD_UPGRADE;

    for (const struct field *field = message_find(message, id); field;
         field = message_find_next(message, field)) {
        struct span list = field->value, one;

        while (has_quotes ? span_next_element(&list, &one) : message_next_token(&list, &one))
            if (span_equal_nocase(one, element))
                return true;
    }
    return false;
}

/* ---- what is for one connection only ---- */

#define BIT(id) ((uint64_t)1 << FIELD_##id)
static_assert(FIELDS <= 64, "a set of fields is a word");

/* Connection cannot name these away: without them a message would be framed, routed, stopped in a
 * loop or understood otherwise than the sender's other readers do. */
static const uint64_t connection_cannot_name =
    BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(CONTENT_TYPE) | BIT(CONTENT_ENCODING) |
    BIT(CONTENT_RANGE) | BIT(CONTENT_SECURITY_POLICY) | BIT(CACHE_CONTROL) | BIT(DATE) |
    BIT(EXPECT) | BIT(MAX_FORWARDS) | BIT(VIA) | BIT(TE) | BIT(UPGRADE) /* see below */;

static void drop_set(struct message *message, uint64_t set)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (set >> message->fields[i].id & 1)
            message->fields[i].is_dropped = true;
}

static void drop_named(struct message *message, struct span name)
{
    enum field_id id = field_id_of(name);

    if (id != FIELD_OTHER) {
        drop_set(message, (uint64_t)1 << id & ~connection_cannot_name);
        return;
    }
    for (size_t i = 0; i < message->field_count; i++)
        if (span_equal_nocase(message->fields[i].name, name))
            message->fields[i].is_dropped = true;
}

/* Connection may come in several fields and name many; each is looked at, but the work is
 * limited, because a peer decides on both counts. */
static void drop_what_connection_names(struct message *message)
{
    size_t count = message->field_count, names = 0;

    for (size_t i = 0; i < count; i++) {
        struct span list = message->fields[i].value, name;

        if (message->fields[i].id != FIELD_CONNECTION)
            continue;
        while (message_next_token(&list, &name)) {
            if (span_equal_nocase(name, SPAN("close")) ||
                span_equal_nocase(name, SPAN("keep-alive")))
                continue;
            if (++names > MESSAGE_CONNECTION_NAMES) {
                message->is_abnormal = true;
                return;
            }
            drop_named(message, name);
        }
    }
}

/* "trailers" is the one member that we can pass on (RFC 9110 section 10.1.4). */
static void keep_te_trailers(struct message *message)
{
    bool has_trailers = message->is_request && message_lists(message, FIELD_TE, SPAN("trailers"));

    message_drop(message, FIELD_TE);
    if (has_trailers)
        message_add(message, field_names[FIELD_TE], SPAN("trailers"));
}

bool message_may_switch_to(struct span protocol)
{
    size_t name = octets_run(protocol, OCTET_TOKEN);

    if (name == 0 ||
        (name < protocol.size &&
         (protocol.at[name] != '/' || !octets_are(span_from(protocol, name + 1), OCTET_TOKEN))))
        return false;
    return !span_starts_nocase(protocol, SPAN("h2")) &&
           !span_equal_nocase(span_slice(protocol, 0, name), SPAN("HTTP")) &&
           !span_equal_nocase(span_slice(protocol, 0, name), SPAN("TLS"));
}

/* The protocols of all Upgrade fields that may be switched to, as one list; SPAN_NONE: none, or no
 * room for it. */
static struct span legal_upgrades(const struct message *message)
{
    struct span kept = SPAN_NONE;

    for (const struct field *field = message_find(message, FIELD_UPGRADE); field;
         field = message_find_next(message, field)) {
        struct span list = field->value, protocol;

        while (message_next_token(&list, &protocol)) {
            if (!message_may_switch_to(protocol))
                continue;
            if ((kept.size && !arena_extend(message->arena, &kept, SPAN(", "))) ||
                !arena_extend(message->arena, &kept, protocol))
                return SPAN_NONE;
        }
    }
    return kept;
}

static void keep_legal_upgrades(struct message *message)
{
    struct span kept = message->is_upgrade ? legal_upgrades(message) : SPAN_NONE;

    message_drop(message, FIELD_UPGRADE);
    message->is_upgrade = kept.size && message_add(message, field_names[FIELD_UPGRADE], kept);
}

void message_drop_hop_by_hop(struct message *message)
{
    uint64_t there = 0, set = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
                              BIT(TRANSFER_ENCODING) | BIT(HTTP2_SETTINGS);

    for (size_t i = 0; i < message->field_count; i++)
        there |= (uint64_t)!message->fields[i].is_dropped << message->fields[i].id;
    if (there & BIT(CONNECTION))
        drop_what_connection_names(message);
    if (there & BIT(TE))
        keep_te_trailers(message);
    if (there & BIT(UPGRADE))
        keep_legal_upgrades(message);
    else
        message->is_upgrade = false;
    if (message->framing != FRAMING_CHUNKED)
        set |= BIT(TRAILER);
    set |= message->is_request ? BIT(PROXY_AUTHORIZATION)
                               : BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHENTICATION_INFO);
    if (there & set)
        drop_set(message, set);
}

bool field_may_be_trailer(enum field_id id, struct span name)
{
    switch (id) {
    case FIELD_OTHER:
        // conditionals, Content-* and cookies that have no number, and what other proxies read
        return !span_starts_nocase(name, SPAN("Content-")) &&
               !span_starts_nocase(name, SPAN("If-")) &&
               !span_starts_nocase(name, SPAN("Proxy-")) &&
               !span_starts_nocase(name, SPAN("X-Forwarded-")) &&
               !span_equal_nocase(name, SPAN("Forwarded")) &&
               !span_equal_nocase(name, SPAN("Expires")) &&
               !span_equal_nocase(name, SPAN("Retry-After")) &&
               !span_equal_nocase(name, SPAN("Warning"));
    case FIELD_DIGEST:
    case FIELD_ETAG:
    case FIELD_SERVER:
        return true;
    default:
        return false;
    }
}
