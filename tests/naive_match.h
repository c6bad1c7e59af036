/*
 * naive_match.h - rules matched one after the other, letter by letter, as the syntax says.
 *
 * What the engine is held against: slow, without index, table or cache, and nothing of src/filter
 * in it. Rules are not parsed either: whoever makes them up (naive_cases.h) fills in the struct
 * and writes the line that says the same. Only what a public suffix list of seven lines, ASCII
 * and short URLs need is here.
 */
#ifndef DEJUNK_TESTS_NAIVE_MATCH_H
#define DEJUNK_TESTS_NAIVE_MATCH_H

#include <assert.h>
#include <ctype.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NAIVE_NAMES = 4, NAIVE_URL = 1024 };
enum { NAIVE_DOCUMENT = 1, NAIVE_TYPES = 12, NAIVE_ALL_TYPES = (1 << NAIVE_TYPES) - 1 };

enum naive_kind { NAIVE_BLOCK, NAIVE_REDIRECT, NAIVE_REDIRECT_RULE, NAIVE_REMOVEPARAM, NAIVE_CSP };
enum { NAIVE_FIRST = 1, NAIVE_THIRD = 2, NAIVE_STRICT_FIRST = 4, NAIVE_STRICT_THIRD = 8 };

struct naive_names { // "a.example|~b.a.example|name.*"
    unsigned count;
    struct naive_name {
        bool is_not;
        char name[80];
    } items[NAIVE_NAMES];
};

struct naive_rule {
    unsigned line;
    bool is_exception, is_important, is_badfilter, is_match_case, is_regex;
    bool at_start, at_host, at_end; // "|", "||", "|" at the end
    char body[256];                 // between the anchors, or between the slashes
    unsigned with, without;         // types written, and written with "~"; the types' own order
    bool wants_all;                 // "all"
    unsigned party;
    unsigned methods; // 0: none written
    struct naive_names domains, to, denyallow;
    enum naive_kind kind;
    char value[40];
    char text[1400];  // the line
    char sense[1400]; // equal for lines that say the same, a badfilter not looked at
    char rest[1400];  // the same without `domain=`
    bool is_dead;     // a badfilter took it away
};

struct naive_request {
    char url[NAIVE_URL], source[NAIVE_URL]; // source: a URL, or empty
    unsigned type;                          // its number
    bool is_third_by_word;                  // without a source
    const char *method;                     // NULL: not known
    unsigned method_bit;
};

// ---- text ----

static inline bool naive_is_separator(char c)
{
    return !isalnum((unsigned char)c) && !strchr("_-.%", c);
}

/* Does what the pattern says stand at one of the places that are marked in `at` (to_end: up to the
 * end)? Letter by letter: the places up to which the pattern's letters so far may reach. `at` is
 * written to. */
static inline bool naive_stands(const char *pattern, const char *text, bool *at, bool to_end)
{
    size_t size = strlen(text);
    bool next[NAIVE_URL + 1], any = true;

    for (; *pattern && any; pattern++) {
        memset(next, 0, size + 1);
        any = false;
        for (size_t i = 0; i <= size; i++) {
            size_t to = i + 1;

            if (!at[i] && !(*pattern == '*' && i > 0 && next[i - 1]))
                continue;
            if (*pattern == '*' || (*pattern == '^' && i == size))
                to = i; // the end is a separator, too
            else if (i == size ||
                     (*pattern == '^' ? !naive_is_separator(text[i]) : *pattern != text[i]))
                continue;
            next[to] = any = true;
        }
        memcpy(at, next, size + 1);
    }
    if (!any)
        return false;
    return to_end ? at[size] : memchr(at, true, size + 1) != NULL;
}

static inline void naive_lower(char *text)
{
    for (; *text; text++)
        *text = (char)tolower((unsigned char)*text);
}

static inline void naive_lower_part(char *text, size_t size)
{
    for (size_t i = 0; i < size && text[i]; i++)
        text[i] = (char)tolower((unsigned char)text[i]);
}

/* Where the host of a URL begins and ends, user information taken out of the URL. */
static inline void naive_cut(char *url, size_t *host_at, size_t *host_end)
{
    char *host = strstr(url, "://") + 3, *end = host + strcspn(host, "/?#"), *at = NULL, *port;

    for (char *c = host; c < end; c++)
        if (*c == '@')
            at = c;
    if (at) {
        memmove(host, at + 1, strlen(at + 1) + 1);
        end -= at + 1 - host;
    }
    port = host;
    if (*host == '[')
        port = strchr(host, ']');
    while (port < end && *port != ':')
        port++;
    *host_at = (size_t)(host - url);
    *host_end = (size_t)(port - url);
}

/* The host of a URL in lower case. */
static inline void naive_host_of(const char *url, char *host)
{
    char copy[NAIVE_URL];
    size_t at, end;

    snprintf(copy, sizeof copy, "%s", url);
    naive_cut(copy, &at, &end);
    snprintf(host, 256, "%.*s", (int)(end - at), copy + at);
    naive_lower(host);
}

// ---- hosts ----

static inline bool naive_is_address(const char *host)
{
    unsigned a, b, c, d;
    char more;

    return host[0] == '[' || sscanf(host, "%u.%u.%u.%u%c", &a, &b, &c, &d, &more) == 4;
}

/* The part of the host that is its public suffix, by the list in naive_suffixes. */
static const char naive_suffixes[] = "com\nexample\nco.uk\n*.ck\n!www.ck\ngithub.io\na.b.example\n";
static inline const char *naive_suffix(const char *host)
{
    const char *last = strrchr(host, '.');

    // From the longest name on: the first that is in the list decides.
    for (const char *name = host; name; name = strchr(name, '.') ? strchr(name, '.') + 1 : NULL) {
        const char *behind = strchr(name, '.');

        if (strcmp(name, "www.ck") == 0)
            return "ck";
        if (behind && strcmp(behind, ".ck") == 0)
            return name;
        if (strcmp(name, "com") == 0 || strcmp(name, "example") == 0 ||
            strcmp(name, "co.uk") == 0 || strcmp(name, "github.io") == 0 ||
            strcmp(name, "a.b.example") == 0)
            return name;
    }
    return last ? last + 1 : host;
}

/* The public suffix and one label more, or the host as a whole. */
static inline const char *naive_domain(const char *host)
{
    const char *suffix = naive_suffix(host);
    size_t in_front = strlen(host) - strlen(suffix);

    if (naive_is_address(host) || in_front == 0)
        return host;
    for (in_front--; in_front > 0 && host[in_front - 1] != '.'; in_front--)
        ;
    return host + in_front;
}

/* Is it the name, or below it? */
static inline bool naive_is_below(const char *host, const char *name)
{
    size_t size = strlen(host), tail = strlen(name);

    return size >= tail && strcmp(host + size - tail, name) == 0 &&
           (size == tail || host[size - tail - 1] == '.');
}

/* How many bytes of the host are in front of what the item names: the fewer, the closer. -1: it
 * does not name the host. */
static inline int naive_names_host(const char *item, const char *host)
{
    size_t size = strlen(item);
    char name[256];

    if (size > 2 && strcmp(item + size - 2, ".*") == 0) {
        char stem[256];
        size_t in_front = strlen(host) - strlen(naive_suffix(host));

        if (naive_is_address(host) || in_front == 0)
            return -1;
        snprintf(stem, sizeof stem, "%.*s", (int)in_front - 1, host);
        snprintf(name, sizeof name, "%.*s", (int)size - 2, item);
        return naive_is_below(stem, name) ? (int)(strlen(stem) - strlen(name)) : -1;
    }
    snprintf(name, sizeof name, "%s", item);
    return naive_is_below(host, name) ? (int)(strlen(host) - size) : -1;
}

static inline bool naive_regex(const char *expression, const char *text, bool is_match_case)
{
    regex_t compiled;
    bool found;

    assert(regcomp(&compiled, expression,
                   REG_EXTENDED | REG_NOSUB | (is_match_case ? 0 : REG_ICASE)) == 0);
    found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

/* The most specific item decides; without one that fits, whether all are negated. */
static inline bool naive_has(const struct naive_names *names, const char *host)
{
    bool has_with = false, found = false, is_not = false, by_entity = false;
    int best = INT32_MAX;

    for (unsigned i = 0; i < names->count; i++) {
        const char *name = names->items[i].name;
        bool is_entity = name[strlen(name) - 1] == '*';
        int distance;

        has_with = has_with || !names->items[i].is_not;
        if (name[0] == '/') {
            char inner[80];

            snprintf(inner, sizeof inner, "%.*s", (int)strlen(name) - 2, name + 1);
            distance = naive_regex(inner, host, false) ? INT32_MAX - 1 : -1;
        } else {
            distance = naive_names_host(name, host);
        }
        if (distance < 0 || distance > best || (distance == best && !by_entity))
            continue;
        best = distance;
        by_entity = is_entity;
        is_not = names->items[i].is_not;
        found = true;
    }
    return found ? !is_not : !has_with;
}

// ---- rules ----

/* "||name^": the host is that name or below it, whatever its port. */
static inline bool naive_is_host_rule(const struct naive_rule *rule)
{
    size_t size = strlen(rule->body);

    if (rule->is_regex || !rule->at_host || rule->at_end || size < 2 || rule->body[size - 1] != '^')
        return false;
    if (rule->body[0] == '[')
        return rule->body[size - 2] == ']' && strcspn(rule->body, "*^") == size - 1;
    for (size_t i = 0; i < size - 1; i++) {
        char c = rule->body[i];
        if (c == '.' && (i == 0 || i == size - 2 || rule->body[i - 1] == '.'))
            return false;
        if (!isalnum((unsigned char)c) && !strchr("-_.", c))
            return false;
    }
    return true;
}

static inline bool naive_pattern_holds(const struct naive_rule *rule, const char *url)
{
    char text[NAIVE_URL], body[256];
    size_t host_at, host_end;
    bool at[NAIVE_URL + 1];

    snprintf(text, sizeof text, "%s", url);
    snprintf(body, sizeof body, "%s", rule->body);
    naive_cut(text, &host_at, &host_end);
    naive_lower_part(text, host_end); // no capitals count in scheme and host
    if (rule->is_regex)
        return naive_regex(body, text, rule->is_match_case);
    naive_lower_part(body, rule->at_host ? strcspn(body, "/^?:*#") : 0);
    if (!rule->is_match_case) {
        naive_lower(text);
        naive_lower(body);
    }
    if (naive_is_host_rule(rule)) {
        char host[256], name[256];

        naive_host_of(url, host);
        snprintf(name, sizeof name, "%.*s", (int)strlen(body) - 1, body);
        naive_lower(name);
        return naive_is_below(host, name);
    }
    for (size_t i = 0; i <= strlen(text); i++)
        at[i] = rule->at_start ? i == 0
                : rule->at_host
                    ? i == host_at || (i > host_at && i < host_end && text[i - 1] == '.')
                    : true;
    return naive_stands(body, text, at, rule->at_end);
}

static inline unsigned naive_types_of(const struct naive_rule *rule)
{
    unsigned types = rule->wants_all ? NAIVE_ALL_TYPES : rule->with;

    if (!types) {
        if (rule->kind == NAIVE_CSP)
            types = 1 << 0 | 1 << 1; // pages and frames
        else if (rule->is_exception || rule->kind == NAIVE_REMOVEPARAM)
            types = NAIVE_ALL_TYPES;
        else
            types = NAIVE_ALL_TYPES & ~NAIVE_DOCUMENT;
        if (!rule->is_exception && !rule->without && rule->kind == NAIVE_BLOCK &&
            naive_is_host_rule(rule) && !rule->party && !rule->methods && !rule->domains.count &&
            !rule->to.count && !rule->denyallow.count)
            types |= NAIVE_DOCUMENT; // a page visit, too
    }
    return types & ~rule->without;
}

static inline bool naive_party_holds(unsigned party, const struct naive_request *request)
{
    char host[256], source[256];
    bool is_third = request->is_third_by_word, is_same = !is_third;

    naive_host_of(request->url, host);
    if (request->source[0]) {
        naive_host_of(request->source, source);
        is_same = strcmp(host, source) == 0;
        is_third = strcmp(naive_domain(host), naive_domain(source)) != 0;
    }
    return !(party & NAIVE_FIRST && is_third) && !(party & NAIVE_THIRD && !is_third) &&
           !(party & NAIVE_STRICT_FIRST && !is_same) && !(party & NAIVE_STRICT_THIRD && is_same);
}

static inline bool naive_domains_hold(const struct naive_names *names,
                                      const struct naive_request *request)
{
    char source[256];

    if (names->count == 0)
        return true;
    if (!request->source[0] && NAIVE_DOCUMENT >> request->type & 1) { // its own page
        naive_host_of(request->url, source);
        return naive_has(names, source);
    }
    if (!request->source[0]) {
        for (unsigned i = 0; i < names->count; i++)
            if (!names->items[i].is_not)
                return false;
        return true;
    }
    naive_host_of(request->source, source);
    return naive_has(names, source);
}

/* Does the rule match the request? */
static inline bool naive_holds(const struct naive_rule *rule, const struct naive_request *request)
{
    char host[256];

    if (rule->is_dead || rule->is_badfilter)
        return false;
    if (!(naive_types_of(rule) >> request->type & 1))
        return false;
    if (rule->methods && !(rule->methods & request->method_bit))
        return false;
    if (!naive_party_holds(rule->party, request) || !naive_domains_hold(&rule->domains, request))
        return false;
    naive_host_of(request->url, host);
    if (rule->to.count && !naive_has(&rule->to, host))
        return false;
    if (rule->denyallow.count && naive_has(&rule->denyallow, host))
        return false;
    return naive_pattern_holds(rule, request->url);
}

/* "||name^" without a word more: it stops whatever goes to the host. */
static inline bool naive_is_about_all(const struct naive_rule *rule)
{
    return rule->kind == NAIVE_BLOCK && naive_is_host_rule(rule) && !rule->with && !rule->without &&
           !rule->wants_all && !rule->party && !rule->methods && !rule->domains.count &&
           !rule->to.count && !rule->denyallow.count;
}

#endif
