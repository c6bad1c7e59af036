/*
 * ask_rules.c - what a few rules say to one request: case after case, for tests written elsewhere.
 *
 * A case is lines of a letter, a blank and a text, and ends with a line ".":
 *
 *     R rule (as often as need be; the list is a trusted one)   u untrusted (the list is not)
 *     U url   S source   T type   M method   C client           H name: value (of the response)
 *     B body, in hexadecimal digits
 *
 * The answer is lines of a word, a blank and a text, and a line ".":
 *
 *     verdict block|exception|allow        redirect name (only with a stub)
 *     rules N (network rules in force)     page N (bits of enum page_flag)
 *     url URL, where rules change it       csp, permissions ... value (for each directive in force)
 *     body BODY, in hexadecimal digits, where rules change it
 *     selector BODY, for each cosmetic rule that holds for the URL's page
 */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/rulebook.h"
#include "filter/cosmetic.h"
#include "filter/edit.h"
#include "filter/match.h"

enum { HEADERS = 32 };

struct one_case {
    struct buffer list;
    struct span lines[HEADERS];
    size_t header_count;
    bool is_untrusted;
    struct request request;
    struct span body;
};

/* Everything of one case lives in here until the next. */
static struct arena_line {
    struct arena_line *next;
    char text[];
} * kept;

static struct span keep(const char *text, size_t size)
{
    struct arena_line *line = malloc(sizeof *line + size + 1);

    if (!line)
        abort();
    line->next = kept;
    kept = line;
    memcpy(line->text, text, size);
    line->text[size] = 0;
    return span_of(line->text, size);
}

static void forget_all(void)
{
    while (kept) {
        struct arena_line *next = kept->next;
        free(kept);
        kept = next;
    }
}

static struct span response_field(void *owner, struct span name, unsigned number)
{
    const struct one_case *it = owner;

    for (size_t i = 0; i < it->header_count; i++) {
        size_t colon = span_find_byte(it->lines[i], ':');
        if (colon < it->lines[i].size &&
            span_equal_nocase(span_slice(it->lines[i], 0, colon), name) && number-- == 0)
            return span_trim(span_from(it->lines[i], colon + 1));
    }
    return SPAN_NONE;
}

static void take(struct one_case *it, char letter, struct span text)
{
    switch (letter) {
    case 'R':
        if (!buffer_append(&it->list, text) || !buffer_append(&it->list, SPAN("\n")))
            abort();
        break;
    case 'u':
        it->is_untrusted = true;
        break;
    case 'U':
        it->request.url = text;
        break;
    case 'S':
        it->request.source = text;
        break;
    case 'T':
        if (!request_type_of(text, &it->request.type))
            abort();
        break;
    case 'M':
        it->request.method = text;
        break;
    case 'C':
        it->request.client = text;
        break;
    case 'H':
        if (it->header_count < HEADERS)
            it->lines[it->header_count++] = text;
        break;
    case 'B':
        it->body = text;
        break;
    default:
        abort();
    }
}

static void show_verdict(struct matcher *matcher, struct one_case *it)
{
    struct verdict verdict;

    matcher_ask(matcher, &it->request, &verdict);
    if (verdict.action == VERDICT_PASS && it->header_count) {
        it->request.response_field = response_field;
        it->request.field_owner = it;
        matcher_response(matcher, &it->request, &verdict);
    }
    printf("verdict %s\n", verdict.action == VERDICT_PASS        ? "allow"
                           : verdict.action == VERDICT_EXCEPTION ? "exception"
                                                                 : "block");
    if (verdict.action == VERDICT_REDIRECT)
        printf("redirect %.*s\n", SPAN_PRINT(verdict.redirect));
    printf("page %u\n", matcher_page(matcher, &it->request));
}

static void show_directives(struct matcher *matcher, struct amender *amender,
                            const struct one_case *it)
{
    static const char *const names[DIRECTIVES] = {
        [DIRECTIVE_REMOVEPARAM] = "removeparam",
        [DIRECTIVE_URLSKIP] = "urlskip",
        [DIRECTIVE_URITRANSFORM] = "uritransform",
        [DIRECTIVE_REPLACE] = "replace",
        [DIRECTIVE_CSP] = "csp",
        [DIRECTIVE_PERMISSIONS] = "permissions",
        [DIRECTIVE_REFERRERPOLICY] = "referrerpolicy",
        [DIRECTIVE_REMOVEHEADER] = "removeheader",
        [DIRECTIVE_COOKIE] = "cookie",
        [DIRECTIVE_JSONPRUNE] = "jsonprune",
        [DIRECTIVE_XMLPRUNE] = "xmlprune",
        [DIRECTIVE_INLINE_SCRIPT] = "inline-script",
        [DIRECTIVE_INLINE_FONT] = "inline-font",
    };
    struct directive found[DIRECTIVES_LIMIT];
    struct buffer url = { 0 };
    size_t count =
        matcher_directives(matcher, &it->request, DIRECTIVES_ALL, found, DIRECTIVES_LIMIT);

    for (size_t i = 0; i < count; i++) {
        printf("%s %.*s\n", names[found[i].kind], SPAN_PRINT(found[i].value));
        if (found[i].kind == DIRECTIVE_URLSKIP && !url.size)
            amend_skip(amender, it->request.url, found[i].value, false, &url);
    }
    if (!url.size)
        amend_url(amender, it->request.url, found, count, &url);
    if (url.size)
        printf("url %.*s\n", SPAN_PRINT(buffer_span(&url)));
    buffer_release(&url);
}

/* ---- public suffixes: to compile all of them for each case would take most of the time ---- */

static struct buffer suffixes = { .limit_bytes = 1 << 24 };

static void read_suffixes(void)
{
    FILE *file = fopen(RULEBOOK_SUFFIXES, "re");
    size_t got;

    if (!file)
        return;
    do {
        if (!buffer_reserve(&suffixes, 1 << 16))
            abort();
        got = fread(suffixes.at + suffixes.size, 1, 1 << 16, file);
        suffixes.size += got;
    } while (got);
    fclose(file);
}

static struct span last_label(struct span text)
{
    size_t end = 0;

    while (end < text.size && !memchr("/:?#", text.at[end], 4))
        end++;
    while (end > 0 && text.at[end - 1] == '.')
        end--;
    text.size = end;
    while (end > 0 && text.at[end - 1] != '.')
        end--;
    return span_from(text, end);
}

/* Those under the last label of a URL or host. */
static void pick_suffixes(struct buffer *out, struct span url)
{
    struct span rest = buffer_span(&suffixes), label;
    size_t scheme = span_find(url, SPAN("://"));

    label = last_label(scheme < url.size ? span_from(url, scheme + 3) : url);
    while (label.size && rest.size) {
        size_t size = span_find_byte(rest, '\n');
        struct span line = span_slice(rest, 0, size);

        rest = span_from(rest, size + (size < rest.size));
        if (line.size && line.at[0] != '/' && span_ends(line, label) &&
            (!buffer_append(out, line) || !buffer_append(out, SPAN("\n"))))
            abort();
    }
}

/* Does an exception among the found ones take a rule with this body off? */
static bool is_lifted(const struct database *database, const struct cosmetic_found *found,
                      size_t count, struct span body)
{
    for (size_t i = 0; i < count; i++) {
        struct rule_view view;
        struct rule rule;

        if (!found[i].is_exception || !database_rule(database, found[i].rule, &view))
            continue;
        rule_parse(&rule, view.text);
        if (span_equal(rule.body, body))
            return true;
    }
    return false;
}

static void show_selector(const struct database *database, const struct cosmetic_found *found,
                          size_t count, const struct cosmetic_found *one)
{
    struct rule_view view;
    struct rule rule;

    if (one->is_exception || one->is_not || !database_rule(database, one->rule, &view))
        return;
    rule_parse(&rule, view.text);
    if (!is_lifted(database, found, count, rule.body))
        printf("selector %.*s\n", SPAN_PRINT(rule.body));
}

static void show_selectors(const struct database *database, struct matcher *matcher,
                           const struct one_case *it)
{
    static struct cosmetic_found found[COSMETIC_FOUND_LIMIT];
    struct request page = { .url = it->request.url, .type = TYPE_DOCUMENT };
    struct span host = span_from(page.url, span_find(page.url, SPAN("://")));
    unsigned flags = matcher_page(matcher, &page);
    struct cosmetic_walk walk = { 0 };
    struct cosmetic_found one;
    size_t count;

    if (host.size < 3 || flags & PAGE_ELEMHIDE)
        return;
    host = span_from(host, 3);
    host.size = span_find_byte(host, '/');
    count = cosmetic_select(database, host, found, COSMETIC_FOUND_LIMIT);
    for (size_t i = 0; i < count; i++)
        if (!(flags & PAGE_SPECIFICHIDE))
            show_selector(database, found, count, &found[i]);
    while (cosmetic_next_generic(database, &walk, &one)) {
        bool is_off = flags & PAGE_GENERICHIDE;

        for (size_t k = 0; k < count; k++)
            is_off = is_off || (found[k].is_not && found[k].rule == one.rule);
        if (!is_off)
            show_selector(database, found, count, &one);
    }
}

static unsigned hex_value(char c)
{
    return c >= 'a' ? (unsigned)(c - 'a' + 10) : (unsigned)(c - '0');
}

/* As if it were JSON or XML where it looks so, else plain text. */
static void show_body(struct matcher *matcher, struct amender *amender, const struct one_case *it)
{
    struct directive found[DIRECTIVES_LIMIT];
    struct buffer body = { .limit_bytes = EDIT_BODY_LIMIT };
    size_t count =
        matcher_directives(matcher, &it->request, DIRECTIVES_ALL, found, DIRECTIVES_LIMIT);
    enum edit_media media = EDIT_TEXT;
    bool has_changed = false;

    if (!it->body.at)
        return;
    for (size_t i = 0; i + 1 < it->body.size; i += 2) {
        char byte = (char)(hex_value(it->body.at[i]) << 4 | hex_value(it->body.at[i + 1]));
        if (!buffer_append(&body, span_of(&byte, 1)))
            abort();
    }
    if (body.size && body.at[0] == '<')
        media = EDIT_XML;
    else if (body.size && (body.at[0] == '{' || body.at[0] == '['))
        media = EDIT_JSON;
    count = edit_pick(found, count, media, found, DIRECTIVES_LIMIT);
    for (size_t i = 0; i < count; i++) {
        struct buffer out = { 0 };
        if (edit_body(amender, &found[i], buffer_span(&body), &out) != PRUNE_DONE)
            continue;
        buffer_release(&body);
        body = out;
        has_changed = true;
    }
    if (has_changed) {
        fputs("body ", stdout);
        for (size_t i = 0; i < body.size; i++)
            printf("%02x", (uint8_t)body.at[i]);
        putchar('\n');
    }
    buffer_release(&body);
}

static void answer(struct one_case *it, struct amender *amender)
{
    struct buffer picked = { .limit_bytes = 1 << 24 };
    struct rulebook *rulebook = rulebook_new(NULL, NULL);
    struct list_summary summary;
    struct compile_counts counts;
    struct database *database = NULL;
    struct matcher *matcher;
    struct error error;
    struct span image;

    pick_suffixes(&picked, it->request.url);
    pick_suffixes(&picked, it->request.source);
    rulebook_add_suffixes_text(rulebook, buffer_span(&picked));
    if (rulebook_add_text(rulebook, buffer_span(&it->list), "case", !it->is_untrusted, &summary,
                          &error) != ERROR_NONE ||
        rulebook_compile(rulebook, &image, &counts, &error) != ERROR_NONE ||
        database_open(&database, image, &error) != ERROR_NONE) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    matcher = matcher_new(database);
    printf("rules %u\n", counts.plain_hosts + counts.rules);
    show_verdict(matcher, it);
    show_directives(matcher, amender, it);
    show_body(matcher, amender, it);
    show_selectors(database, matcher, it);
    puts(".");
    matcher_free(&matcher);
    database_unref(&database);
    rulebook_free(&rulebook);
    buffer_release(&picked);
}

int main(void)
{
    struct amender *amender = amender_new();
    struct one_case it = { .list.limit_bytes = LIST_TEXT_LIMIT };
    char *line = NULL;
    size_t room = 0;
    ssize_t got;

    read_suffixes();
    while ((got = getline(&line, &room, stdin)) > 0) {
        size_t size = (size_t)got - (line[got - 1] == '\n');

        if (line[0] != '.') {
            take(&it, line[0], size > 2 ? keep(line + 2, size - 2) : SPAN_NONE);
            continue;
        }
        answer(&it, amender);
        buffer_release(&it.list);
        it = (struct one_case){ .list.limit_bytes = LIST_TEXT_LIMIT };
        forget_all();
    }
    free(line);
    buffer_release(&suffixes);
    amender_free(&amender);
    return 0;
}
