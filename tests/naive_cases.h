/*
 * naive_cases.h - made-up rules and requests, and the engine held against naive_match.h on them.
 *
 * Rules are cut out of the URLs that they will be asked about, so that many match: hosts, tokens,
 * separators at their ends, wildcards, anchors, types, parties, `domain=`, `to=`, `denyallow=`,
 * methods, exceptions, `important`, `badfilter`, stubs, parameters, policies. Choices come from a
 * seeded generator or from the bytes of a fuzzer.
 */
#ifndef DEJUNK_TESTS_NAIVE_CASES_H
#define DEJUNK_TESTS_NAIVE_CASES_H

#include <stdlib.h>
#include <strings.h>

#include "filter/compile.h"
#include "filter/match.h"
#include "naive_match.h"

struct chooser {
    uint64_t state;          // of the generator
    const uint8_t *at, *end; // or bytes; zeros behind their end
};

static inline unsigned choose(struct chooser *chooser, unsigned below)
{
    if (chooser->at)
        return chooser->at < chooser->end ? *chooser->at++ % below : 0;
    chooser->state ^= chooser->state << 13;
    chooser->state ^= chooser->state >> 7;
    chooser->state ^= chooser->state << 17;
    return (unsigned)(chooser->state >> 33) % below;
}

static inline bool chance(struct chooser *chooser, unsigned percent)
{
    return choose(chooser, 100) >= 100 - percent; // never at the end of a fuzzer's bytes
}

#define PICK(chooser, array) ((array)[choose(chooser, sizeof(array) / sizeof *(array))])

enum { CASE_RULES = 40, CASE_REQUESTS = 20 };

struct cases {
    struct naive_rule rules[CASE_RULES];
    struct naive_request requests[CASE_REQUESTS];
    unsigned rule_count, request_count;
};

// ---- requests ----

static inline void make_host(struct chooser *chooser, char *to, size_t size)
{
    static const char *const whole[] = {
        "ads.example",   "www.ads.example",  "example.com",    "ads.example.com", "a.b.co.uk",
        "tracker.co.uk", "x.github.io",      "y.github.io",    "127.0.0.1",       "[::1]",
        "localhost",     "www.ck",           "a.www.ck",       "a.b.ck",          "co.uk",
        "news.example",  "cdn.news.example", "github.io",      "a.b.example",     "x.a.b.example",
        "google.com",    "www.google.co.uk", "google.example", "12.ads.example",  "com",
    };
    static const char *const labels[] = { "ads",
                                          "www",
                                          "cdn",
                                          "a",
                                          "b",
                                          "x-1",
                                          "tracker",
                                          "xn--bcher-kva",
                                          "a_b",
                                          "google",
                                          "averyveryverylonglabelofahostname" };
    static const char *const ends[] = { "com",       "co.uk", "example",    "ck",
                                        "github.io", "net",   "ads.example" };
    size_t at = 0;

    if (!chance(chooser, 30)) {
        snprintf(to, size, "%s", PICK(chooser, whole));
        return;
    }
    for (unsigned i = choose(chooser, 3) + 1; i > 0; i--)
        at += (size_t)snprintf(to + at, size - at, "%s.", PICK(chooser, labels));
    snprintf(to + at, size - at, "%s", PICK(chooser, ends));
}

static inline void make_url(struct chooser *chooser, char *to, size_t size)
{
    static const char *const schemes[] = { "http", "https", "http", "https", "ws", "wss" };
    static const char *const words[] = { "ads",        "ad",     "banner", "js",     "gif",
                                         "x",          "track",  "pixel",  "1",      "2a",
                                         "AD",         "Banner", "b",      "static", "index",
                                         "html",       "page",   "uid",    "utm",    "ads300x250",
                                         "longer-word" };
    static const char *const between[] = { "/",   "/", "/", "-", "_", ".", ".",
                                           "%2F", ";", "~", "+", ":", "//" };
    char host[200];
    size_t at;

    make_host(chooser, host, sizeof host);
    at = (size_t)snprintf(to, size, "%s://%s%s%s", PICK(chooser, schemes),
                          chance(chooser, 3) ? "me:pw@" : "", host,
                          chance(chooser, 8) ? ":8080" : "");
    if (chance(chooser, 3))
        return;
    at += (size_t)snprintf(to + at, size - at, "/");
    for (unsigned i = choose(chooser, 7); i > 0; i--)
        at += (size_t)snprintf(to + at, size - at, "%s%s", PICK(chooser, words),
                               i > 1 ? PICK(chooser, between) : "");
    if (chance(chooser, 40)) {
        at += (size_t)snprintf(to + at, size - at, "?");
        for (unsigned i = choose(chooser, 4); i > 0; i--)
            at += (size_t)snprintf(to + at, size - at, "%s=%s%s", PICK(chooser, words),
                                   PICK(chooser, words), i > 1 ? "&" : "");
    }
    if (chance(chooser, 4))
        snprintf(to + at, size - at, "#%s", PICK(chooser, words));
}

static const char *const case_methods[] = { "get", "post", "put", "head" };

static inline void make_request(struct chooser *chooser, struct naive_request *request)
{
    unsigned method = choose(chooser, 6);

    *request = (struct naive_request){ .type = choose(chooser, NAIVE_TYPES) };
    make_url(chooser, request->url, sizeof request->url);
    if (!chance(chooser, 25))
        make_url(chooser, request->source, sizeof request->source);
    else
        request->is_third_by_word = choose(chooser, 2);
    if (method < 4) {
        request->method = case_methods[method];
        request->method_bit = 1u << method;
    }
}

// ---- rules ----

/* A part of one of the URLs, changed here and there. */
static inline void make_body(struct chooser *chooser, const struct cases *cases,
                             struct naive_rule *rule)
{
    char url[NAIVE_URL], *text = rule->body;
    size_t host_at, host_end, size, from = 0, length;

    snprintf(url, sizeof url, "%s", cases->requests[choose(chooser, cases->request_count)].url);
    naive_cut(url, &host_at, &host_end);
    size = strlen(url);
    switch (choose(chooser, 8)) {
    case 0:
    case 1: // a host, or its end
        from = host_at;
        while (chance(chooser, 30) && from < host_end && memchr(url + from, '.', host_end - from))
            from = (size_t)((char *)memchr(url + from, '.', host_end - from) - url) + 1;
        rule->at_host = true;
        length = host_end - from + 1;
        if (chance(chooser, 30))
            length += choose(chooser, 12);
        break;
    case 2:
        rule->at_start = true;
        length = 4 + choose(chooser, 20);
        break;
    case 3: // the end
        from = size > 12 ? size - 1 - choose(chooser, 12) : 0;
        length = size - from;
        rule->at_end = chance(chooser, 50);
        break;
    default:
        from = host_end + choose(chooser, 12);
        length = 1 + choose(chooser, 16) + choose(chooser, 16);
    }
    from = from < size ? from : size - 1;
    length = length > size - from ? size - from : length;
    length = length > 120 ? 120 : length;
    memcpy(text, url + from, length);
    text[length] = 0;
    for (size_t i = 0; i < length; i++) { // separators and wildcards instead of what is there
        if (naive_is_separator(text[i]) && chance(chooser, i + 1 == length ? 50 : 15))
            text[i] = '^';
        else if (chance(chooser, 4))
            text[i] = '*';
        else if (chance(chooser, 2))
            text[i] = (char)(isalpha((unsigned char)text[i]) ? text[i] ^ 0x20 : text[i]);
        else if (chance(chooser, 1))
            text[i] = 'q'; // and does not fit any more
    }
    if (chance(chooser, 15) && length + 2 < sizeof rule->body)
        snprintf(text + length, 3, "%s", chance(chooser, 50) ? "^" : "^^");
}

/* What this syntax reads in another way is made harmless: regular expressions, comments, cosmetic
 * lines, names alone in a line. */
static inline void mend_body(struct naive_rule *rule)
{
    char *text = rule->body;
    size_t size;

    while (text[0] == '*' || (text[0] == '|' && !rule->at_start && !rule->at_host))
        memmove(text, text + 1, strlen(text));
    for (char *c = text; *c; c++)
        if (*c == '#' || *c == '$' || *c == ',' || *c == '|' || *c == '@')
            *c = '^';
    size = strlen(text);
    while (size > 0 && text[size - 1] == '*')
        text[--size] = 0;
    if (size == 0)
        snprintf(text, sizeof rule->body, "ads");
    if (!rule->at_start && !rule->at_host && (text[0] == '!' || text[0] == '['))
        text[0] = '^';
}

static inline void make_regex(struct chooser *chooser, struct naive_rule *rule)
{
    static const char *const expressions[] = {
        "ads?\\.js",
        "^https?:\\/\\/[a-z]+\\.example\\/",
        "banner.*gif",
        "[0-9]+x[0-9]+",
        "(track|pixel)[^a-z]",
        "\\/ads\\/.*\\?",
        "html$",
        "^wss?:",
        "co\\.uk\\/.*[?&]uid=",
        "(ads|cdn|www)\\.(example|google)",
        "AD",
        "x-1\\..*\\/index",
    };

    rule->is_regex = true;
    rule->at_start = rule->at_host = rule->at_end = false;
    snprintf(rule->body, sizeof rule->body, "%s", PICK(chooser, expressions));
}

static inline void make_names(struct chooser *chooser, const struct cases *cases,
                              struct naive_names *names, bool is_source, bool may_negate)
{
    static const char *const others[] = { "google.*",     "ads.*",     "www.google.*", "com",
                                          "example",      "a.*",       "cdn.news.*",   "b.ck",
                                          "news.example", "google.com" };
    unsigned count = 1 + choose(chooser, NAIVE_NAMES);

    names->count = 0;
    if (chance(chooser, 4)) {
        names->count = 1;
        names->items[0].is_not = may_negate && chance(chooser, 20);
        snprintf(names->items[0].name, sizeof names->items[0].name, "%s",
                 chance(chooser, 50) ? "/^(www\\.)?ads\\./" : "/google|tracker/");
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct naive_request *request =
            &cases->requests[choose(chooser, cases->request_count)];
        char name[256] = "";
        bool is_known = false;

        if (chance(chooser, 25) || (is_source && !request->source[0]))
            snprintf(name, sizeof name, "%s", PICK(chooser, others));
        else
            naive_host_of(is_source ? request->source : request->url, name);
        while (chance(chooser, 25) && strchr(name, '.') && name[0] != '[')
            memmove(name, strchr(name, '.') + 1, strlen(strchr(name, '.') + 1) + 1);
        if (name[0] == '*')
            snprintf(name, sizeof name, "ads.*");
        for (unsigned k = 0; k < names->count; k++)
            is_known = is_known || strcmp(names->items[k].name, name) == 0;
        if (is_known || strlen(name) >= sizeof names->items[0].name)
            continue;
        names->items[names->count].is_not = may_negate && chance(chooser, 20);
        memcpy(names->items[names->count++].name, name, strlen(name) + 1);
    }
}

struct line { // under construction
    char *at;
    size_t size, room;
};

static inline void put(struct line *line, const char *text)
{
    size_t size = strlen(text);

    assert(line->size + size < line->room);
    memcpy(line->at + line->size, text, size + 1);
    line->size += size;
}

static inline int by_name(const void *a, const void *b)
{
    return strcmp(((const struct naive_name *)a)->name, ((const struct naive_name *)b)->name);
}

/* As they were chosen; for what a rule says, whose names are a set, in one order. */
static inline void put_names(struct line *line, const char *option, const struct naive_names *names,
                             bool is_sense)
{
    struct naive_names sorted = *names;

    if (names->count == 0)
        return;
    if (is_sense)
        qsort(sorted.items, sorted.count, sizeof sorted.items[0], by_name);
    put(line, option);
    for (unsigned i = 0; i < sorted.count; i++) {
        put(line, i ? "|" : "");
        put(line, sorted.items[i].is_not ? "~" : "");
        put(line, sorted.items[i].name);
    }
}

enum { OPTIONS = 12 };

static inline void put_option(struct line *line, const struct naive_rule *rule, unsigned option,
                              bool is_sense)
{
    static const char *const values[] = { [NAIVE_BLOCK] = "",
                                          [NAIVE_REDIRECT] = ",redirect",
                                          [NAIVE_REDIRECT_RULE] = ",redirect-rule",
                                          [NAIVE_REMOVEPARAM] = ",removeparam",
                                          [NAIVE_CSP] = ",csp" };

    switch (option) {
    case 0:
        for (unsigned i = 0; i < NAIVE_TYPES; i++)
            if ((rule->with | rule->without) >> i & 1) {
                put(line, rule->without >> i & 1 ? ",~" : ",");
                put(line, request_type_name((enum request_type)i));
            }
        break;
    case 1:
        put(line, rule->wants_all ? ",all" : "");
        break;
    case 2:
        put(line, rule->party & NAIVE_FIRST   ? ",1p"
                  : rule->party & NAIVE_THIRD ? ",third-party"
                                              : "");
        put(line, rule->party & NAIVE_STRICT_FIRST   ? ",strict1p"
                  : rule->party & NAIVE_STRICT_THIRD ? ",strict3p"
                                                     : "");
        break;
    case 3:
        put_names(line, ",domain=", &rule->domains, is_sense);
        break;
    case 4:
        put_names(line, ",to=", &rule->to, is_sense);
        break;
    case 5:
        put_names(line, ",denyallow=", &rule->denyallow, is_sense);
        break;
    case 6:
        put(line, rule->methods ? ",method=" : "");
        for (unsigned i = 0, any = 0; i < 4; i++)
            if (rule->methods >> i & 1) {
                put(line, any++ ? "|" : "");
                put(line, case_methods[i]);
            }
        break;
    case 7:
        put(line, rule->is_match_case ? ",match-case" : "");
        break;
    case 8:
        put(line, rule->is_important ? ",important" : "");
        break;
    case 9:
        put(line, values[rule->kind]);
        put(line, rule->kind != NAIVE_BLOCK && rule->value[0] ? "=" : "");
        put(line, rule->kind != NAIVE_BLOCK ? rule->value : "");
        break;
    case 10:
        put(line, rule->is_badfilter && !is_sense ? ",badfilter" : "");
        break;
    default:
        break;
    }
}

/* Capitals that say nothing: all of them, or those of the host. */
static inline void fold_pattern(const struct naive_rule *rule, char *pattern)
{
    size_t end = strlen(pattern);

    if (rule->is_regex)
        return;
    if (rule->is_match_case)
        end = rule->at_host ? strcspn(pattern, "/^?:*#") : 0;
    naive_lower_part(pattern, end);
}

/* The line, its options in an order that begins anywhere; and what it says, in one order. */
static inline void write_rule(struct chooser *chooser, struct naive_rule *rule)
{
    char options[1000] = "";
    struct line line = { options, 0, sizeof options };
    unsigned first = choose(chooser, OPTIONS);
    const char *tail = "";
    char pattern[300];

    for (unsigned i = 0; i < OPTIONS; i++)
        put_option(&line, rule, (first + i) % OPTIONS, false);
    snprintf(pattern, sizeof pattern, "%s%s%s%s%s",
             rule->at_host    ? "||"
             : rule->at_start ? "|"
                              : "",
             rule->is_regex ? "/" : "", rule->body, rule->is_regex ? "/" : "",
             rule->at_end ? "|" : "");
    if (!rule->is_regex && !rule->at_end &&
        ((pattern[0] == '/' && strlen(pattern) > 1 && pattern[strlen(pattern) - 1] == '/') ||
         (pattern[0] != '|' && strcspn(pattern, "/^*?:=&;~+") == strlen(pattern))))
        tail = "*"; // it would be a regular expression, or the name of a host
    snprintf(rule->text, sizeof rule->text, "%s%s%s%s%s", rule->is_exception ? "@@" : "", pattern,
             tail, options[0] ? "$" : "", options[0] ? options + 1 : "");
    fold_pattern(rule, pattern);
    options[0] = 0;
    line.size = 0;
    for (unsigned i = 0; i < OPTIONS; i++)
        if (i > 1)
            put_option(&line, rule, i, true);
    snprintf(rule->sense, sizeof rule->sense, "%s%s%s%s %x", rule->is_exception ? "@@" : "",
             rule->is_regex ? "regex " : "", pattern, options, naive_types_of(rule));
    options[0] = 0;
    line.size = 0;
    for (unsigned i = 0; i < OPTIONS; i++)
        if (i > 1 && i != 3)
            put_option(&line, rule, i, true);
    snprintf(rule->rest, sizeof rule->rest, "%s%s%s%s %x", rule->is_exception ? "@@" : "",
             rule->is_regex ? "regex " : "", pattern, options, naive_types_of(rule));
    if (naive_is_about_all(rule) && !rule->is_exception && !rule->is_important) {
        naive_lower(rule->sense); // nor is it `all`
        rule->sense[0] = '!';
    }
}

static inline void make_options(struct chooser *chooser, const struct cases *cases,
                                struct naive_rule *rule)
{
    static const char *const stubs[] = { "noopjs",     "1x1.gif",    "noop.js:5",
                                         "1x1.gif:-1", "nooptext:5", "none" };
    static const char *const parameters[] = { "utm", "uid", "ads", "" };
    static const char *const policies[] = { "script-src none", "img-src *", "" };

    if (chance(chooser, 25))
        rule->with = 1u << choose(chooser, NAIVE_TYPES) | 1u << choose(chooser, NAIVE_TYPES);
    else if (chance(chooser, 10))
        rule->without = 1u << choose(chooser, NAIVE_TYPES);
    else if (chance(chooser, 5))
        rule->wants_all = true;
    if (chance(chooser, 15))
        rule->party = 1u << choose(chooser, 4);
    if (chance(chooser, 20))
        make_names(chooser, cases, &rule->domains, true, true);
    if (chance(chooser, 8))
        make_names(chooser, cases, &rule->to, false, true);
    if (chance(chooser, 8))
        make_names(chooser, cases, &rule->denyallow, false, false);
    if (chance(chooser, 6))
        rule->methods = 1u << choose(chooser, 4) | 1u << choose(chooser, 4);
    rule->is_match_case = !naive_is_host_rule(rule) && chance(chooser, 6);
    rule->is_important = chance(chooser, 8);
    if (!chance(chooser, 25))
        return;
    rule->kind = (enum naive_kind)(1 + choose(chooser, 4));
    if (rule->kind == NAIVE_REDIRECT && rule->is_exception)
        rule->kind = NAIVE_REDIRECT_RULE;
    if (rule->kind == NAIVE_REDIRECT || rule->kind == NAIVE_REDIRECT_RULE)
        snprintf(rule->value, sizeof rule->value, "%s", PICK(chooser, stubs));
    else if (rule->kind == NAIVE_REMOVEPARAM)
        snprintf(rule->value, sizeof rule->value, "%s", PICK(chooser, parameters));
    else
        snprintf(rule->value, sizeof rule->value, "%s", PICK(chooser, policies));
    if (rule->is_exception && chance(chooser, 40))
        rule->value[0] = 0;
    if (!rule->value[0] && !rule->is_exception && rule->kind != NAIVE_REMOVEPARAM)
        snprintf(rule->value, sizeof rule->value, "noopjs");
}

static inline void make_rule(struct chooser *chooser, struct cases *cases, unsigned index)
{
    struct naive_rule *rule = &cases->rules[index];

    memset(rule, 0, sizeof *rule);
    if (index > 0 && chance(chooser, 5)) { // against one that is there
        *rule = cases->rules[choose(chooser, index)];
        rule->is_badfilter = true;
    } else {
        rule->is_exception = chance(chooser, 20);
        make_body(chooser, cases, rule);
        mend_body(rule);
        if (chance(chooser, 5))
            make_regex(chooser, rule);
        if (!chance(chooser, 35))
            make_options(chooser, cases, rule);
    }
    rule->line = index + 1;
    write_rule(chooser, rule);
}

static inline bool has_negated(const struct naive_names *names)
{
    bool is_any = false;

    for (unsigned i = 0; i < names->count; i++)
        is_any = is_any || names->items[i].is_not;
    return is_any;
}

/* A badfilter that is the rule but for its domains takes these from it. */
static inline void take_names(struct naive_rule *rule, const struct naive_rule *bad)
{
    unsigned kept = 0;

    if (rule->domains.count == 0 || bad->domains.count == 0 || has_negated(&rule->domains) ||
        has_negated(&bad->domains) || strcmp(rule->rest, bad->rest) != 0)
        return;
    for (unsigned i = 0; i < rule->domains.count; i++) {
        bool is_taken = false;

        for (unsigned k = 0; k < bad->domains.count; k++)
            is_taken = is_taken ||
                       strcasecmp(rule->domains.items[i].name, bad->domains.items[k].name) == 0;
        if (!is_taken)
            rule->domains.items[kept++] = rule->domains.items[i];
    }
    rule->domains.count = kept;
    rule->is_dead = kept == 0;
}

static inline void make_cases(struct chooser *chooser, struct cases *cases)
{
    cases->request_count = 1 + choose(chooser, CASE_REQUESTS);
    cases->rule_count = 1 + choose(chooser, CASE_RULES);
    for (unsigned i = 0; i < cases->request_count; i++)
        make_request(chooser, &cases->requests[i]);
    for (unsigned i = 0; i < cases->rule_count; i++)
        make_rule(chooser, cases, i);
    for (unsigned i = 0; i < cases->rule_count; i++)
        for (unsigned k = 0; cases->rules[i].is_badfilter && k < cases->rule_count; k++)
            if (strcmp(cases->rules[i].sense, cases->rules[k].sense) == 0)
                cases->rules[k].is_dead = true;
    for (unsigned i = 0; i < cases->rule_count; i++)
        for (unsigned k = 0; cases->rules[i].is_badfilter && k < cases->rule_count; k++)
            if (!cases->rules[k].is_badfilter && !cases->rules[k].is_dead)
                take_names(&cases->rules[k], &cases->rules[i]);
}

// ---- the engine against them ----

struct engine {
    struct compiler *compiler;
    struct database *database;
    struct matcher *matcher;
    char *text;
    const char *problem; // NULL, or what does not agree
    char about[400];
};

static inline void engine_rule(void *owner, const struct rule *rule, uint32_t line)
{
    struct engine *engine = owner;

    if (compiler_add(engine->compiler, rule, line) != REASON_NONE) {
        engine->problem = "a rule is refused";
        snprintf(engine->about, sizeof engine->about, "line %u", line);
    }
}

static inline void engine_problem(void *owner, struct span text, enum rule_reason reason,
                                  uint32_t line)
{
    struct engine *engine = owner;

    engine->problem = "a line is refused";
    snprintf(engine->about, sizeof engine->about, "line %u, %s: %.*s", line,
             rule_reason_text(reason), (int)(text.size > 200 ? 200 : text.size), text.at);
}

static inline void engine_init(struct engine *engine, const struct cases *cases)
{
    struct list_reader reader = {
        .is_trusted = true, .on_rule = engine_rule, .on_problem = engine_problem, .owner = engine
    };
    struct list_summary summary;
    struct compile_counts counts;
    struct span image;
    struct line text = { malloc(CASE_RULES * sizeof cases->rules[0].text), 0,
                         CASE_RULES * sizeof cases->rules[0].text };

    assert(text.at);
    *engine = (struct engine){ .compiler = compiler_new(), .text = text.at };
    text.at[0] = 0;
    for (unsigned i = 0; i < cases->rule_count; i++) {
        put(&text, cases->rules[i].text);
        put(&text, "\n");
    }
    compiler_add_suffixes(engine->compiler, SPAN(naive_suffixes));
    assert(compiler_begin_list(engine->compiler, SPAN("list")));
    assert(list_read(&summary, &reader, span_text(text.at)));
    if (!engine->problem && summary.network != cases->rule_count)
        engine->problem = "a line is no rule";
    assert(compiler_finish(engine->compiler, &image, &counts, NULL) == ERROR_NONE);
    assert(database_open(&engine->database, image, NULL) == ERROR_NONE);
    engine->matcher = matcher_new(engine->database);
}

static inline void engine_done(struct engine *engine)
{
    matcher_free(&engine->matcher);
    database_unref(&engine->database);
    compiler_free(&engine->compiler);
    free(engine->text);
}

static inline unsigned engine_line(const struct engine *engine, rule_number number)
{
    static struct rule_view view;

    return database_rule(engine->database, number, &view) ? view.line : 0;
}

static inline void disagree(struct engine *engine, const char *problem, unsigned line)
{
    if (engine->problem)
        return;
    engine->problem = problem;
    snprintf(engine->about, sizeof engine->about, "line %u", line);
}

/* One of the rules that say the same as this one is in `lines`. */
static inline bool has_like(const struct cases *cases, const bool *lines, unsigned index)
{
    for (unsigned i = 0; i < cases->rule_count; i++)
        if (lines[i] && strcmp(cases->rules[i].sense, cases->rules[index].sense) == 0)
            return true;
    return false;
}

/* A directive with the same value is in `lines`: it says all. */
static inline bool has_said(const struct cases *cases, const bool *lines,
                            const struct naive_rule *rule)
{
    for (unsigned i = 0; i < cases->rule_count; i++)
        if (lines[i] && cases->rules[i].kind == rule->kind &&
            strcmp(cases->rules[i].value, rule->value) == 0)
            return true;
    return false;
}

/* May the parameter be in the URL's query at all? Rules for one that is not are not looked for. */
static inline bool may_have_parameter(const struct naive_rule *rule,
                                      const struct naive_request *request)
{
    return rule->kind != NAIVE_REMOVEPARAM || strcasestr(request->url, rule->value);
}

/* What holds, line by line: into `held`. */
static inline void compare_rules(struct engine *engine, const struct cases *cases,
                                 const struct naive_request *naive, const struct request *request,
                                 bool *held)
{
    rule_number found[2 * CASE_RULES];
    bool listed[CASE_RULES] = { false };
    size_t count = matcher_explain(engine->matcher, request, found, 2 * CASE_RULES);

    for (unsigned i = 0; i < cases->rule_count; i++)
        held[i] = naive_holds(&cases->rules[i], naive);
    for (size_t i = 0; i < count; i++) {
        unsigned line = engine_line(engine, found[i]);

        if (line == 0 || line > cases->rule_count || !held[line - 1])
            disagree(engine, "the engine has a rule that does not match", line);
        else
            listed[line - 1] = true;
    }
    for (unsigned i = 0; i < cases->rule_count; i++)
        if (held[i] && !has_like(cases, listed, i) && may_have_parameter(&cases->rules[i], naive))
            disagree(engine, "the engine lacks a rule that matches", i + 1);
}

static inline bool is_stub(const struct naive_rule *rule)
{
    return rule->kind == NAIVE_REDIRECT || rule->kind == NAIVE_REDIRECT_RULE;
}

/* Important ones go before all others; the numbers here are small. */
static inline int priority_of(const struct naive_rule *rule)
{
    const char *colon = strchr(rule->value, ':');

    return (rule->is_important ? 1000 : 0) + (colon ? atoi(colon + 1) : 0); // NOLINT: made up here
}

/* Is the exception's value that of the rule, with or without its priority? */
static inline bool lifts(const struct naive_rule *exception, const struct naive_rule *rule)
{
    size_t name = strcspn(rule->value, ":");

    return !exception->value[0] || strcmp(exception->value, rule->value) == 0 ||
           (is_stub(rule) && strlen(exception->value) == name &&
            strncmp(exception->value, rule->value, name) == 0);
}

/* Do exceptions that hold take this rule's directive or stub off? */
static inline bool is_lifted_by(const struct cases *cases, const bool *held,
                                const struct naive_rule *rule)
{
    for (unsigned i = 0; i < cases->rule_count; i++) {
        const struct naive_rule *exception = &cases->rules[i];

        if (held[i] && exception->is_exception &&
            (is_stub(rule) ? is_stub(exception) && !rule->is_important
                           : exception->kind == rule->kind &&
                                 (!rule->is_important || exception->is_important)) &&
            lifts(exception, rule))
            return true;
    }
    return false;
}

/* The stub: one of those with the highest priority. */
static inline void compare_stub(struct engine *engine, const struct cases *cases, const bool *held,
                                const struct verdict *verdict)
{
    int best = INT32_MIN;
    bool is_right = false;

    for (unsigned i = 0; i < cases->rule_count; i++) {
        const struct naive_rule *rule = &cases->rules[i];
        if (held[i] && is_stub(rule) && !rule->is_exception && !is_lifted_by(cases, held, rule) &&
            priority_of(rule) > best)
            best = priority_of(rule);
    }
    if (best == INT32_MIN) {
        if (verdict->action == VERDICT_REDIRECT)
            disagree(engine, "a stub where there is none",
                     engine_line(engine, verdict->redirect_rule));
        return;
    }
    for (unsigned i = 0; i < cases->rule_count; i++) {
        const struct naive_rule *rule = &cases->rules[i];
        size_t name = strcspn(rule->value, ":");
        if (!held[i] || !is_stub(rule) || rule->is_exception || is_lifted_by(cases, held, rule) ||
            priority_of(rule) != best)
            continue;
        if (strncmp(rule->value, "none", name) == 0)
            is_right = is_right || verdict->action == VERDICT_BLOCK;
        else
            is_right = is_right || (verdict->action == VERDICT_REDIRECT &&
                                    span_equal(verdict->redirect, span_of(rule->value, name)));
    }
    if (!is_right)
        disagree(engine, "not the stub", engine_line(engine, verdict->redirect_rule));
}

static inline void compare_verdict(struct engine *engine, const struct cases *cases,
                                   const bool *held, const struct request *request)
{
    bool blocks = false, blocks_for_sure = false, excepts = false, excepts_for_sure = false,
         is_stopped;
    const struct naive_rule *rule;
    struct verdict verdict;
    unsigned line;

    for (unsigned i = 0; i < cases->rule_count; i++) {
        const struct naive_rule *one = &cases->rules[i];

        if (!held[i])
            continue;
        if (one->is_exception && one->kind == NAIVE_BLOCK) {
            excepts = true;
            excepts_for_sure = excepts_for_sure || one->is_important;
        } else if (!one->is_exception &&
                   (one->kind == NAIVE_BLOCK || one->kind == NAIVE_REDIRECT)) {
            blocks = true;
            blocks_for_sure = blocks_for_sure || one->is_important;
        }
    }
    is_stopped = blocks && (!excepts || (blocks_for_sure && !excepts_for_sure));
    matcher_ask(engine->matcher, request, &verdict);
    line = engine_line(engine, verdict.rule);
    rule = line ? &cases->rules[line - 1] : NULL;
    if (!blocks) {
        if (verdict.action != VERDICT_PASS || line)
            disagree(engine, "it should pass", line);
        return;
    }
    if (!rule || !held[line - 1]) {
        disagree(engine, "the rule that decides does not match", line);
        return;
    }
    if (!is_stopped) {
        if (verdict.action != VERDICT_EXCEPTION || !rule->is_exception || !verdict.overridden)
            disagree(engine, "an exception should win", line);
        return;
    }
    if (verdict.action < VERDICT_BLOCK || rule->is_exception || (excepts && !rule->is_important))
        disagree(engine, "it should be stopped", line);
    compare_stub(engine, cases, held, &verdict);
}

static inline void compare_directives(struct engine *engine, const struct cases *cases,
                                      const bool *held, const struct naive_request *naive,
                                      const struct request *request)
{
    struct directive found[DIRECTIVES_LIMIT];
    bool listed[CASE_RULES] = { false };
    size_t count =
        matcher_directives(engine->matcher, request, DIRECTIVES_ALL, found, DIRECTIVES_LIMIT);

    for (size_t i = 0; i < count; i++) {
        unsigned line = engine_line(engine, found[i].rule);
        const struct naive_rule *rule = line ? &cases->rules[line - 1] : NULL;

        if (!rule || !held[line - 1] || rule->is_exception || is_lifted_by(cases, held, rule) ||
            found[i].kind != (rule->kind == NAIVE_CSP ? DIRECTIVE_CSP : DIRECTIVE_REMOVEPARAM) ||
            !span_equal(found[i].value, span_text(rule->value)))
            disagree(engine, "a directive that should not be", line);
        else
            listed[line - 1] = true;
    }
    for (unsigned i = 0; i < cases->rule_count; i++) {
        const struct naive_rule *rule = &cases->rules[i];
        if (held[i] && !rule->is_exception && rule->kind >= NAIVE_REMOVEPARAM &&
            !is_lifted_by(cases, held, rule) && !has_said(cases, listed, rule) &&
            may_have_parameter(rule, naive))
            disagree(engine, "a directive is missing", i + 1);
    }
}

/* At CONNECT only the host is known. */
static inline void compare_connect(struct engine *engine, const struct cases *cases,
                                   const struct naive_request *naive)
{
    bool blocks[2] = { false, false }, excepts[2] = { false, false }; // plain, important
    struct verdict verdict;
    char host[256];

    naive_host_of(naive->url, host);
    for (unsigned i = 0; i < cases->rule_count; i++) {
        const struct naive_rule *rule = &cases->rules[i];
        if (!rule->is_dead && !rule->is_badfilter && naive_is_about_all(rule) &&
            naive_pattern_holds(rule, naive->url))
            (rule->is_exception ? excepts : blocks)[rule->is_important] = true;
    }
    matcher_connect(engine->matcher, span_text(host), &verdict);
    if (!blocks[0] && !blocks[1]) {
        if (verdict.action != VERDICT_PASS)
            disagree(engine, "CONNECT should pass", engine_line(engine, verdict.rule));
    } else if (blocks[1] ? excepts[1] : excepts[0] || excepts[1]) {
        if (verdict.action != VERDICT_EXCEPTION)
            disagree(engine, "CONNECT should be excepted", engine_line(engine, verdict.rule));
    } else if (verdict.action != VERDICT_BLOCK) {
        disagree(engine, "CONNECT should be stopped", engine_line(engine, verdict.rule));
    }
}

/* Makes rules and requests up and asks both. The pairs that were compared, and in *hits those that
 * matched; 0 when they do not agree, which is told on standard error. */
static inline unsigned compare_once(struct chooser *chooser, unsigned *hits)
{
    static struct cases cases;
    struct engine engine;

    make_cases(chooser, &cases);
    engine_init(&engine, &cases);
    for (unsigned i = 0; i < cases.request_count && !engine.problem; i++) {
        const struct naive_request *naive = &cases.requests[i];
        struct request request = { .url = span_text(naive->url),
                                   .source = span_text(naive->source),
                                   .type = (enum request_type)naive->type,
                                   .party = naive->is_third_by_word ? PARTY_THIRD : PARTY_BY_SOURCE,
                                   .method = span_text(naive->method) };
        bool held[CASE_RULES];

        compare_rules(&engine, &cases, naive, &request, held);
        compare_verdict(&engine, &cases, held, &request);
        compare_directives(&engine, &cases, held, naive, &request);
        compare_connect(&engine, &cases, naive);
        for (unsigned k = 0; k < cases.rule_count; k++)
            *hits += held[k];
        if (engine.problem)
            fprintf(stderr, "%s: %s\n%s %s, from %s, method %s, third by word %d\n%s",
                    engine.problem, engine.about, request_type_name(request.type), naive->url,
                    naive->source, naive->method ? naive->method : "-", naive->is_third_by_word,
                    engine.text);
    }
    if (engine.problem && !strncmp(engine.problem, "a ", 2))
        fprintf(stderr, "%s: %s\n%s", engine.problem, engine.about, engine.text);
    engine_done(&engine);
    return engine.problem ? 0 : cases.rule_count * cases.request_count;
}

#endif
