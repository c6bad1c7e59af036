#include "proxy/settings.h"

#include <stdlib.h>

enum { SETTINGS_BYTES = 16 * 1024 * 1024 };

bool texts_match(const struct config_texts *texts, struct span text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (span_matches_wildcard(text, texts->items[i]))
            return true;
    return false;
}

static enum error_kind parse_ranges(struct arena *arena, const struct config_texts *texts,
                                    const char *option, struct address_range **out, size_t *count,
                                    struct error *error)
{
    struct address_range *ranges = arena_zalloc(arena, (texts->count + 1) * sizeof *ranges);

    if (!ranges)
        return error_set(error, ERROR_LIMIT, "%s: too many entries", option);
    for (size_t i = 0; i < texts->count; i++)
        if (!address_range_parse(&ranges[i], texts->items[i]))
            return error_set(error, ERROR_CONFIG, "%s: \"%.*s\" is no address range", option,
                             SPAN_PRINT(texts->items[i]));
    *out = ranges;
    *count = texts->count;
    return ERROR_NONE;
}

static bool parse_port(struct span text, uint16_t *port)
{
    uint64_t number;

    if (!span_to_u64(text, &number) || number < 1 || number > 65535)
        return false;
    *port = (uint16_t)number;
    return true;
}

static enum error_kind parse_ports(struct settings *settings, struct error *error)
{
    const struct config_texts *texts = &settings->config->connect_ports;

    settings->connect_ports =
        arena_zalloc(&settings->arena, (texts->count + 1) * sizeof *settings->connect_ports);
    if (!settings->connect_ports)
        return error_set(error, ERROR_LIMIT, "connect_ports: too many entries");
    for (size_t i = 0; i < texts->count; i++) {
        struct span text = texts->items[i];
        size_t dash = span_find_byte(text, '-');
        struct port_range *range = &settings->connect_ports[i];

        if (!parse_port(span_slice(text, 0, dash), &range->first))
            goto bad;
        range->last = range->first;
        if (dash < text.size &&
            (!parse_port(span_from(text, dash + 1), &range->last) || range->last < range->first))
            goto bad;
        continue;
    bad:
        return error_set(error, ERROR_CONFIG, "connect_ports: \"%.*s\" is no port or range",
                         SPAN_PRINT(text));
    }
    settings->connect_port_count = texts->count;
    return ERROR_NONE;
}

/* Percent-decodes into the arena (RFC 3986 section 2.1); .at is NULL when it is malformed. */
static struct span decode_percent(struct arena *arena, struct span text)
{
    struct span out = arena_copy(arena, text);
    char *to = (char *)out.at;
    size_t size = 0;

    if (!out.at)
        return SPAN_NONE;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (c == '%') {
            char digits[3] = { 0 }, *end;
            if (i + 2 >= text.size)
                return SPAN_NONE;
            digits[0] = text.at[i + 1];
            digits[1] = text.at[i + 2];
            c = (char)strtoul(digits, &end, 16);
            if (end != digits + 2 || c == '\0')
                return SPAN_NONE;
            i += 2;
        }
        to[size++] = c;
    }
    to[size] = '\0';
    return span_of(to, size);
}

static struct span encode_basic(struct arena *arena, struct span user, struct span password)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct span pair = arena_printf(arena, "%.*s:%.*s", SPAN_PRINT(user), SPAN_PRINT(password));
    struct span out = arena_printf(arena, "Basic %*s", (int)((pair.size + 2) / 3 * 4), "");
    char *to = (char *)out.at + 6;

    if (!pair.at || !out.at)
        return SPAN_NONE;
    for (size_t i = 0; i < pair.size; i += 3) {
        unsigned bits = (unsigned)(unsigned char)pair.at[i] << 16;
        if (i + 1 < pair.size)
            bits |= (unsigned)(unsigned char)pair.at[i + 1] << 8;
        if (i + 2 < pair.size)
            bits |= (unsigned)(unsigned char)pair.at[i + 2];
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < pair.size ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < pair.size ? digits[bits & 63] : '=';
    }
    return out;
}

static enum error_kind parse_parent(struct settings *settings, const struct config_parent *from,
                                    struct parent *to, struct error *error)
{
    struct span rest = from->url;
    size_t at_sign, colon;

    to->name = from->name;
    to->for_hosts = &from->for_hosts;
    to->except_hosts = &from->except_hosts;
    to->asks_why = from->asks_why;
    if (span_starts_nocase(rest, SPAN("http://"))) {
        to->kind = PARENT_HTTP;
        rest = span_from(rest, 7);
    } else if (span_starts_nocase(rest, SPAN("socks5://"))) {
        to->kind = PARENT_SOCKS5;
        rest = span_from(rest, 9);
    } else {
        goto bad;
    }
    if (rest.size && rest.at[rest.size - 1] == '/')
        rest.size--;
    at_sign = span_find_byte(rest, '@');
    if (at_sign < rest.size) {
        struct span login = span_slice(rest, 0, at_sign);
        colon = span_find_byte(login, ':');
        to->user = decode_percent(&settings->arena, span_slice(login, 0, colon));
        to->password = decode_percent(&settings->arena,
                                      span_from(login, colon < login.size ? colon + 1 : colon));
        if (!to->user.at || !to->password.at || to->user.size > 255 || to->password.size > 255)
            goto bad;
        to->authorization = encode_basic(&settings->arena, to->user, to->password);
        rest = span_from(rest, at_sign + 1);
    }
    if (rest.size && rest.at[0] == '[') {
        size_t end = span_find_byte(rest, ']');
        struct address literal;
        if (end + 2 > rest.size || rest.at[end + 1] != ':')
            goto bad;
        to->host = span_slice(rest, 1, end - 1);
        if (!address_parse(&literal, to->host, 0))
            goto bad;
        rest = span_from(rest, end + 2);
    } else {
        colon = span_find_byte(rest, ':');
        if (colon == 0 || colon >= rest.size)
            goto bad;
        to->host = span_slice(rest, 0, colon);
        rest = span_from(rest, colon + 1);
    }
    if (!parse_port(rest, &to->port))
        goto bad;
    return ERROR_NONE;
bad:
    return error_set(error, ERROR_CONFIG,
                     "parent \"%.*s\": \"%.*s\" is not http://[user:password@]host:port or "
                     "socks5://[user:password@]host:port",
                     SPAN_PRINT(from->name), SPAN_PRINT(from->url));
}

static enum error_kind parse_parents(struct settings *settings, struct error *error)
{
    const struct config *config = settings->config;

    settings->parents =
        arena_zalloc(&settings->arena, (config->parent_count + 1) * sizeof *settings->parents);
    if (!settings->parents)
        return error_set(error, ERROR_LIMIT, "too many parents");
    for (size_t i = 0; i < config->parent_count; i++) {
        enum error_kind kind =
            parse_parent(settings, &config->parents[i], &settings->parents[i], error);
        if (kind)
            return kind;
        settings->parent_count++;
    }
    return ERROR_NONE;
}

enum error_kind settings_new(struct settings **out, struct config *config, struct error *error)
{
    static uint64_t last_number; // one process, one thread: a name for each, no state of the proxy
    struct settings *settings = calloc(1, sizeof *settings);
    enum error_kind kind;

    if (!settings)
        abort(); // out of memory ends the worker; the master starts another
    settings->references = 1;
    settings->number = ++last_number;
    settings->config = config;
    config_ref(config);
    arena_init(&settings->arena, SETTINGS_BYTES);

    kind = parse_ranges(&settings->arena, &config->allow, "allow", &settings->allow,
                        &settings->allow_count, error);
    if (!kind)
        kind = parse_ranges(&settings->arena, &config->allow_destinations, "allow_destinations",
                            &settings->destinations, &settings->destination_count, error);
    if (!kind)
        kind = parse_ports(settings, error);
    if (!kind)
        kind = parse_parents(settings, error);
    if (kind) {
        settings_unref(&settings);
        return kind;
    }
    *out = settings;
    return ERROR_NONE;
}

void settings_ref(struct settings *settings)
{
    settings->references++;
}

void settings_unref(struct settings **settings)
{
    struct settings *old = *settings;

    *settings = NULL;
    if (!old || --old->references)
        return;
    config_unref(&old->config);
    arena_done(&old->arena);
    free(old);
}

const struct parent *settings_parent_for(const struct settings *settings, struct span host)
{
    for (size_t i = 0; i < settings->parent_count; i++) {
        const struct parent *parent = &settings->parents[i];
        if (parent->for_hosts->count && !texts_match(parent->for_hosts, host))
            continue;
        if (texts_match(parent->except_hosts, host))
            continue;
        return parent;
    }
    return NULL;
}

enum admission settings_admit(const struct settings *settings, const struct address *client)
{
    for (size_t i = 0; i < settings->allow_count; i++)
        if (address_range_has(&settings->allow[i], client))
            return ADMISSION_FREE;
    if (settings->config->user_count)
        return ADMISSION_WITH_PASSWORD;
    return address_classify(client) == ADDRESS_LOOPBACK ? ADMISSION_FREE : ADMISSION_REFUSED;
}
