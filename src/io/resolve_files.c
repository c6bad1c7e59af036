#include "io/resolve_files.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

enum { DNS_PORT = 53, HOSTS_ARENA_BYTES = 1024 * 1024 * 1024 };

/* words and names */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static bool next_line(struct span *text, struct span *line)
{
    size_t end = span_find_byte(*text, '\n');

    if (text->size == 0)
        return false;
    *line = span_slice(*text, 0, end);
    *text = span_from(*text, end < text->size ? end + 1 : end);
    return true;
}

static bool next_word(struct span *line, struct span *word)
{
    size_t start = 0, end;

    while (start < line->size && is_blank(line->at[start]))
        start++;
    end = start;
    while (end < line->size && !is_blank(line->at[end]))
        end++;
    *word = span_slice(*line, start, end - start);
    *line = span_from(*line, end);
    return word->size > 0;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

size_t resolve_fold_name(char *to, struct span name)
{
    size_t label = 0;

    if (name.size > 0 && name.at[name.size - 1] == '.')
        name.size--;
    if (name.size == 0 || name.size > RESOLVE_NAME_BYTES)
        return 0;
    for (size_t i = 0; i < name.size; i++) {
        char c = ascii_lower(name.at[i]);
        if (c == '.' ? label == 0 : !is_name_byte(c) || label == RESOLVE_LABEL_BYTES)
            return 0;
        label = c == '.' ? 0 : label + 1;
        to[i] = c;
    }
    if (label == 0)
        return 0;
    to[name.size] = '\0';
    return name.size;
}

/* resolv.conf */

static unsigned scope_number(struct span scope)
{
    char name[IF_NAMESIZE];
    uint64_t number;

    if (span_to_u64(scope, &number))
        return number <= UINT32_MAX ? (unsigned)number : 0;
    if (scope.size == 0 || scope.size >= sizeof name)
        return 0;
    memcpy(name, scope.at, scope.size);
    name[scope.size] = '\0';
    return if_nametoindex(name); // fails in a jail, see resolve_conf_number_scopes()
}

/* Of "nameserver ADDRESS%SCOPE" or "nameserver [ADDRESS%SCOPE]:PORT"; empty: there is none. */
static struct span scope_of_line(struct span line)
{
    struct span word, scope;

    if (!next_word(&line, &word) || !span_equal(word, SPAN("nameserver")) ||
        !next_word(&line, &word))
        return SPAN_NONE;
    scope = span_from(word, span_find_byte(word, '%'));
    if (scope.size == 0)
        return SPAN_NONE;
    scope = span_from(scope, 1);
    return span_slice(scope, 0, span_find_byte(scope, ']'));
}

bool resolve_conf_number_scopes(struct buffer *to, struct span text)
{
    struct span line, scope;
    const char *end = span_from(text, text.size).at;

    while (next_line(&text, &line)) {
        unsigned number = 0;

        scope = scope_of_line(line);
        if (scope.size > 0)
            number = scope_number(scope);
        if (number > 0) {
            size_t from = (size_t)(scope.at - line.at);
            char digits[12];
            snprintf(digits, sizeof digits, "%u", number);
            if (!buffer_append(to, span_slice(line, 0, from)) ||
                !buffer_append(to, span_text(digits)))
                return false;
            line = span_from(line, from + scope.size);
        }
        if (line.at + line.size < end)
            line.size++; // the end of the line
        if (!buffer_append(to, line))
            return false;
    }
    return true;
}

/* "1.2.3.4", "1.2.3.4:53", "fe80::1%2", "[::1]:53", "[fe80::1%2]:53" */
static bool parse_server(struct address *out, struct span text)
{
    struct span scope = SPAN_NONE, port_text = SPAN_NONE, host = text;
    uint64_t port = DNS_PORT;
    struct address address;
    size_t percent;

    if (text.at[0] == '[') {
        size_t end = span_find_byte(text, ']');
        if (end == text.size)
            return false;
        host = span_slice(text, 1, end - 1);
        port_text = span_from(text, end + 1);
        if (port_text.size > 0 && port_text.at[0] != ':')
            return false;
    } else if (span_find_byte(text, '.') < span_find_byte(text, ':')) { // IPv4
        host = span_slice(text, 0, span_find_byte(text, ':'));
        port_text = span_from(text, host.size);
    }
    if (port_text.size > 0 &&
        (!span_to_u64(span_from(port_text, 1), &port) || port == 0 || port > UINT16_MAX))
        return false;

    percent = span_find_byte(host, '%');
    if (percent < host.size) {
        scope = span_from(host, percent + 1);
        host.size = percent;
    }
    if (!address_parse(&address, host, (uint16_t)port))
        return false;
    if (scope.at) {
        if (address.any.sa_family != AF_INET6)
            return false;
        address.v6.sin6_scope_id = scope_number(scope);
        if (address.v6.sin6_scope_id == 0)
            return false;
    }
    *out = address;
    return true;
}

static void read_nameserver(struct resolve_conf *conf, struct span words)
{
    struct span word;

    if (conf->server_count < RESOLVE_SERVERS && next_word(&words, &word) &&
        parse_server(&conf->servers[conf->server_count], word))
        conf->server_count++;
}

static void read_domains(struct resolve_conf *conf, struct span words, size_t most)
{
    struct span word;

    conf->domain_count = 0;
    while (conf->domain_count < most && next_word(&words, &word) && word.at[0] != '#' &&
           word.at[0] != ';')
        if (resolve_fold_name(conf->domains[conf->domain_count], word) > 0)
            conf->domain_count++;
}

/* "name:12"; what is above `most` counts as that. */
static bool read_number(struct span word, struct span name, unsigned least, unsigned most,
                        unsigned *number)
{
    uint64_t value;

    if (!span_starts(word, name) || !span_to_u64(span_from(word, name.size), &value))
        return false;
    *number = value < least ? least : value > most ? most : (unsigned)value;
    return true;
}

static void read_options(struct resolve_conf *conf, struct span words)
{
    struct span word;

    while (next_word(&words, &word)) {
        if (span_equal(word, SPAN("rotate")))
            conf->rotate = true;
        else if (!read_number(word, SPAN("ndots:"), 0, 15, &conf->ndots) &&
                 !read_number(word, SPAN("timeout:"), 1, 30, &conf->timeout_s))
            read_number(word, SPAN("attempts:"), 1, 5, &conf->attempts);
    }
}

enum error_kind resolve_conf_parse(struct resolve_conf *out, struct span text, struct error *error)
{
    struct resolve_conf conf = { .ndots = 1 };
    struct span line, word;

    if (text.size > RESOLVE_CONF_BYTES)
        return error_set(error, ERROR_LIMIT, "resolv.conf has more than %d bytes",
                         RESOLVE_CONF_BYTES);
    while (next_line(&text, &line)) {
        if (!next_word(&line, &word))
            continue;
        if (span_equal(word, SPAN("nameserver")))
            read_nameserver(&conf, line);
        else if (span_equal(word, SPAN("search")))
            read_domains(&conf, line, RESOLVE_DOMAINS);
        else if (span_equal(word, SPAN("domain")))
            read_domains(&conf, line, 1);
        else if (span_equal(word, SPAN("options")))
            read_options(&conf, line);
    }
    *out = conf;
    return ERROR_NONE;
}

/* hosts */

struct hosts_address { // shared by the names of a line, and of lines in a row that agree
    uint8_t bytes[16];
    bool is_v6;
};

struct hosts_more { // the second and further addresses of a name
    struct hosts_more *next;
    const struct hosts_address *address;
};

struct hosts_name {
    struct table_node node; // first
    const struct hosts_address *address;
    struct hosts_more *more;
    uint8_t size;
    char bytes[];
};

static bool has_name(const struct table_node *node, const void *key)
{
    const struct hosts_name *name = (const struct hosts_name *)node;

    return span_equal(span_of(name->bytes, name->size), *(const struct span *)key);
}

static struct hosts_name *find_name(const struct hosts *hosts, struct span name, uint64_t hash)
{
    return (struct hosts_name *)table_find(&hosts->names, hash, has_name, &name);
}

/* Behind the others, unless it is there already or there are enough of its family. */
static bool add_address(struct hosts *hosts, struct hosts_name *name,
                        const struct hosts_address *address)
{
    struct hosts_more **last = &name->more;
    size_t same_family = name->address->is_v6 == address->is_v6;

    if (name->address == address)
        return true;
    for (; *last; last = &(*last)->next) {
        if ((*last)->address == address)
            return true;
        same_family += (*last)->address->is_v6 == address->is_v6;
    }
    if (same_family >= HOSTS_ADDRESSES)
        return true;
    *last = arena_zalloc(&hosts->arena, sizeof **last);
    if (!*last)
        return false;
    (*last)->address = address;
    return true;
}

static bool add_name(struct hosts *hosts, struct span folded, const struct hosts_address *address)
{
    uint64_t hash = table_hash(&hosts->names, folded);
    struct hosts_name *name = find_name(hosts, folded, hash);

    if (name)
        return add_address(hosts, name, address);
    name = arena_alloc(&hosts->arena, sizeof *name + folded.size);
    if (!name)
        return false;
    *name = (struct hosts_name){ .address = address, .size = (uint8_t)folded.size };
    memcpy(name->bytes, folded.at, folded.size);
    table_add(&hosts->names, &name->node, hash);
    return true;
}

/* The address at the front of a line; *last when it says the same, false when it is none. */
static bool read_address(struct hosts *hosts, struct span word, const struct hosts_address **last)
{
    struct hosts_address *address, found = { 0 };
    struct address parsed;

    if (!address_parse(&parsed, word, 0) || word.at[0] == '[')
        return false;
    found.is_v6 = parsed.any.sa_family == AF_INET6;
    if (found.is_v6)
        memcpy(found.bytes, &parsed.v6.sin6_addr, 16);
    else
        memcpy(found.bytes, &parsed.v4.sin_addr, 4);
    if (*last && (*last)->is_v6 == found.is_v6 && memcmp((*last)->bytes, found.bytes, 16) == 0)
        return true;
    address = arena_alloc(&hosts->arena, sizeof *address);
    if (!address)
        return false;
    *address = found;
    *last = address;
    return true;
}

static bool read_hosts_line(struct hosts *hosts, struct span line,
                            const struct hosts_address **last)
{
    char folded[RESOLVE_NAME_BYTES + 1];
    struct span word;

    line.size = span_find_byte(line, '#');
    if (!next_word(&line, &word) || !read_address(hosts, word, last))
        return true;
    while (next_word(&line, &word)) {
        size_t size = resolve_fold_name(folded, word);
        if (size > 0 && !add_name(hosts, span_of(folded, size), *last))
            return false;
    }
    return true;
}

enum error_kind hosts_init(struct hosts *hosts, struct span text, struct error *error)
{
    const struct hosts_address *last = NULL;
    struct span line;
    size_t lines = 0;

    if (text.size > HOSTS_BYTES)
        return error_set(error, ERROR_LIMIT, "hosts has more than %d bytes", HOSTS_BYTES);
    arena_init(&hosts->arena, HOSTS_ARENA_BYTES);
    table_init(&hosts->names);
    while (next_line(&text, &line))
        if (++lines > HOSTS_LINES || !read_hosts_line(hosts, line, &last)) {
            hosts_done(hosts);
            return error_set(error, ERROR_LIMIT, "hosts has more than %d lines", HOSTS_LINES);
        }
    return ERROR_NONE;
}

void hosts_done(struct hosts *hosts)
{
    table_done(&hosts->names);
    arena_done(&hosts->arena);
}

static struct address as_address(const struct hosts_address *from)
{
    struct address address = { 0 };

    if (from->is_v6) {
        address.v6.sin6_family = AF_INET6;
        memcpy(&address.v6.sin6_addr, from->bytes, 16);
    } else {
        address.v4.sin_family = AF_INET;
        memcpy(&address.v4.sin_addr, from->bytes, 4);
    }
    return address;
}

size_t hosts_find(const struct hosts *hosts, struct span name, struct address *to, size_t room)
{
    const struct hosts_name *found = find_name(hosts, name, table_hash(&hosts->names, name));
    size_t count = 0;

    if (!found || room == 0)
        return 0;
    to[count++] = as_address(found->address);
    for (const struct hosts_more *more = found->more; more && count < room; more = more->next)
        to[count++] = as_address(more->address);
    return count;
}
